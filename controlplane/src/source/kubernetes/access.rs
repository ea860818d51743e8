//! Which callers may have the keys of their namespace: those whose service account may list its Secrets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::SecretWatches;
use crate::auth::Caller;

/// How long a verdict is believed.
const BELIEVED: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Judges who may have keys.
#[derive(Clone)]
pub(crate) enum SecretAccess {
    /// Without Kubernetes: whoever proved to belong to the namespace.
    OwnNamespace,
    /// Kubernetes says so.
    Reviewed(Arc<Reviews>),
}

/// Asks the API server, and has the Secrets of a namespace watched once somebody may have them.
pub(crate) struct Reviews {
    api: Api<SubjectAccessReview>,
    verdicts: Mutex<HashMap<Caller, (bool, Instant)>>,
    watches: SecretWatches,
}

impl SecretAccess {
    pub(crate) fn reviewed(client: Client, watches: SecretWatches) -> Self {
        Self::Reviewed(Arc::new(Reviews { api: Api::all(client), verdicts: Mutex::default(), watches }))
    }

    /// Whether the caller may have the Secrets of its own namespace.
    pub(crate) async fn entitle(&self, caller: &Caller) -> bool {
        match self {
            Self::OwnNamespace => true,
            Self::Reviewed(reviews) => reviews.entitle(caller).await,
        }
    }
}

impl Reviews {
    async fn entitle(&self, caller: &Caller) -> bool {
        let known = self.verdicts.lock().get(caller).copied();
        let allowed = match known {
            Some((allowed, when)) if when.elapsed() < BELIEVED => allowed,
            _ => self.ask(caller).await,
        };
        if allowed {
            self.watches.watch(&caller.namespace);
        } else {
            tracing::info!(%caller, "may not list the Secrets of its namespace, so it gets none");
        }
        allowed
    }

    async fn ask(&self, caller: &Caller) -> bool {
        let review = review(caller);
        let parameters = PostParams::default();
        let answer = tokio::time::timeout(TIMEOUT, self.api.create(&parameters, &review)).await;
        let allowed = match answer {
            Ok(Ok(review)) => {
                review.status.is_some_and(|status| status.allowed && status.denied != Some(true))
            }
            Ok(Err(error)) => {
                tracing::warn!(%caller, %error, "cannot ask whether it may list Secrets");
                return false;
            }
            Err(_) => return false,
        };
        let mut verdicts = self.verdicts.lock();
        verdicts.retain(|_, (_, when)| when.elapsed() < BELIEVED);
        verdicts.insert(caller.clone(), (allowed, Instant::now()));
        allowed
    }
}

fn review(caller: &Caller) -> SubjectAccessReview {
    let Caller { namespace, service_account } = caller;
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{service_account}")),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.clone()),
                resource: Some("secrets".to_owned()),
                verb: Some("list".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}
