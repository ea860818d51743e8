//! Judges a MeshInstall among those that there are.

use std::{sync::Arc, time::Duration};

use crds::Problem;
use kube::{Api, Client, api::ListParams, core::DynamicObject};
use serde_json::Value;
use webhook::Judge;

use crate::{Release, judge, reconcile};

/// The API server waits for five seconds.
const LISTING: Duration = Duration::from_secs(3);

/// Knows where the other MeshInstalls are.
#[derive(Clone)]
pub(super) struct Bench {
    installs: Api<DynamicObject>,
    release: Arc<Release>,
}

impl Bench {
    pub(super) fn new(client: Client, release: Release) -> Self {
        Self { installs: Api::all_with(client, &reconcile::mesh_installs()), release: Arc::new(release) }
    }

    /// The others. When they can't be had, the MeshInstall is judged alone: whoever acts compares them again.
    async fn others(&self) -> Vec<DynamicObject> {
        let parameters = ListParams::default();
        match tokio::time::timeout(LISTING, self.installs.list(&parameters)).await {
            Ok(Ok(listed)) => listed.items,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a MeshInstall is judged alone: listing the others failed");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("a MeshInstall is judged alone: listing the others takes too long");
                Vec::new()
            }
        }
    }
}

impl Judge for Bench {
    async fn objections(&self, object: &Value, old: Option<&Value>) -> Vec<Problem> {
        let others = self.others().await;
        judge::objections(object, old, &others, &self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::json;

    #[tokio::test]
    async fn without_the_others_what_is_wrong_by_itself_is_still_refused() {
        let broken = tower::service_fn(async |_: Request<Body>| {
            Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(Body::empty())
        });
        let bench = Bench::new(Client::new(broken, "default"), Release::default());
        let install = |spec: Value| json!({"apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "a"}, "spec": spec});
        assert_eq!(bench.objections(&install(json!({})), None).await, []);
        let wrong = install(json!({"values": {"pilot": {"replicaCount": "two"}}}));
        assert_eq!(bench.objections(&wrong, None).await[0].field, "spec.values.pilot.replicaCount");
    }
}
