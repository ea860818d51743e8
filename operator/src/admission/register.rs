//! Tells the API server whom to ask about MeshInstalls, once that somebody answers, and keeps it so.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, rbac::v1::ClusterRole},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use pki::{Ca, CaFiles, Identity, PkiError};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::authority;
use crate::{
    names::{FIELD_MANAGER, OPERATOR},
    probe::{self, ProbeError},
};

/// Somebody may remove what was made, and certificates end: everything is looked at again that often.
const AGAIN: Duration = Duration::from_secs(30);
/// After a failure.
const SOON: Duration = Duration::from_secs(1);
/// Life of a certificate; it is renewed at half of it.
const TTL: Duration = Duration::from_hours(30 * 24);

/// Why the API server can't be told yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegisterError {
    #[error("{doing}: {source}")]
    Api { doing: &'static str, source: Box<kube::Error> },
    #[error("the chart's ClusterRole {OPERATOR}, which has to own the webhook configuration, is not there")]
    NoOwner,
    #[error("the webhook's certificate: {0}")]
    Certificate(#[from] PkiError),
    #[error("the own webhook: {0}")]
    Endpoint(#[from] ProbeError),
}

impl RegisterError {
    pub(super) fn api(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { doing, source: Box::new(source) }
    }
}

/// Registers one endpoint.
pub(super) struct Registrar {
    client: Client,
    namespace: String,
    identity: Arc<Identity>,
    address: SocketAddr,
    /// The CA of the certificate in use.
    authority: Option<CaFiles>,
}

impl Registrar {
    /// `address` reaches the endpoint that presents `identity`.
    pub(super) fn new(
        client: Client,
        namespace: String,
        identity: Arc<Identity>,
        address: SocketAddr,
    ) -> Self {
        Self { client, namespace, identity, address, authority: None }
    }

    /// Registers again and again, and says what is in the way until it has worked once.
    pub(super) async fn keep(mut self, saying: watch::Sender<Option<String>>) {
        let mut known = saying.borrow().clone();
        loop {
            let problem = self.round().await.err().map(|error| error.to_string());
            if problem != known {
                match &problem {
                    None => tracing::info!("MeshInstalls are judged at admission"),
                    Some(problem) => tracing::warn!(problem, "MeshInstalls may not be judged at admission"),
                }
                known.clone_from(&problem);
            }
            let pause = if problem.is_none() { AGAIN } else { SOON };
            if saying.borrow().is_some() {
                saying.send_replace(problem);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Everything once: whose it is, the CA, a certificate, whether it is shown, and only then the configuration.
    pub(super) async fn round(&mut self) -> Result<(), RegisterError> {
        let owner = self.owner().await?;
        let files = authority::open(&self.client, &self.namespace, &owner).await?;
        let host = format!("{OPERATOR}.{}.svc", self.namespace);
        self.present(&files, &host)?;
        probe::probe(&self.address.to_string(), &host, files.root_cert.as_bytes()).await?;
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let wanted = configuration(&self.namespace, &owner, files.root_cert.as_bytes());
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = configurations.patch(OPERATOR, &parameters, &Patch::Apply(wanted)).await;
        applied.map(drop).map_err(RegisterError::api("applying the webhook configuration"))
    }

    /// The chart's ClusterRole. What is made here belongs to the chart and not to a mesh, and goes when the chart goes:
    /// `helm uninstall` and `kubectl delete -f` remove the role, and Kubernetes what the role owns.
    async fn owner(&self) -> Result<OwnerReference, RegisterError> {
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        let found = roles.get_metadata_opt(OPERATOR).await;
        let found = found.map_err(RegisterError::api("reading the chart's ClusterRole"))?;
        let uid = found.and_then(|role| role.metadata.uid).ok_or(RegisterError::NoOwner)?;
        Ok(OwnerReference {
            api_version: "rbac.authorization.k8s.io/v1".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: OPERATOR.to_owned(),
            uid,
            ..OwnerReference::default()
        })
    }

    /// Presents a certificate of that CA, a new one if it is due.
    fn present(&mut self, files: &CaFiles, host: &str) -> Result<(), PkiError> {
        let now = SystemTime::now();
        let fresh = self.identity.cert().is_some_and(|cert| !cert.until_renewal(now, 0.5).is_zero());
        if !fresh || self.authority.as_ref() != Some(files) {
            let certificate = Ca::load(files, now)?.issue_server(&[host.to_owned()], TTL, now)?;
            self.identity.set_cert(certificate);
            self.authority = Some(files.clone());
        }
        Ok(())
    }
}

pub(super) fn labels() -> BTreeMap<String, String> {
    let label = |name: &str, value: &str| (format!("app.kubernetes.io/{name}"), value.to_owned());
    BTreeMap::from([label("name", OPERATOR), label("part-of", "trysail"), label("managed-by", OPERATOR)])
}

/// A MeshInstall must stay changeable while the operator is away, which judges it again anyway: hence `Ignore`.
fn configuration(namespace: &str, owner: &OwnerReference, roots: &[u8]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": OPERATOR, "labels": labels(), "ownerReferences": [owner] },
        "webhooks": [{
            "name": "meshinstall.validation.trysail.dev",
            "clientConfig": {
                "service": { "name": OPERATOR, "namespace": namespace, "path": "/validate", "port": 443 },
                "caBundle": STANDARD.encode(roots),
            },
            "rules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": ["mesh.trysail.dev"], "apiVersions": ["*"],
                "resources": ["meshinstalls"], "scope": "Cluster",
            }],
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        }],
    })
}
