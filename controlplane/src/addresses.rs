//! `.status.addresses` of ServiceEntries: what the mesh gave to hosts without addresses. Written by the leader only; every
//! replica reads them back, so that a host keeps its address whatever becomes of the control plane.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use leader::Seat;
use model::config::{HostAddress, ServiceEntry};
use model::{Mesh, NamespacedName};
use serde_json::{Value, json};

/// Between looks at the mesh.
const PAUSE: Duration = Duration::from_secs(1);
/// Writes after one look: ten a second, as for other statuses.
const MOST: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Who owns these fields.
const MANAGER: &str = "trysail-addresses";

/// Keeps the addresses of every ServiceEntry, while this replica has the seat.
pub(crate) async fn keep(client: Client, mesh: Arc<ArcSwap<Mesh>>, mut seat: Seat) {
    let mut problem = String::new();
    loop {
        seat.won().await;
        let mut seen = 0;
        while seat.held() {
            let now = mesh.load_full();
            if now.version != seen {
                let written = tokio::time::timeout(TIMEOUT, look(&client, &now)).await;
                let failed = match written {
                    Ok(Ok(all)) => {
                        seen = if all { now.version } else { 0 };
                        String::new()
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "the API server does not answer".to_owned(),
                };
                if !failed.is_empty() && failed != problem {
                    tracing::warn!(
                        problem = failed,
                        "cannot write addresses of ServiceEntries; trying again"
                    );
                }
                problem = failed;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = seat.lost() => {}
            }
        }
    }
}

/// Writes what differs. False if there is more than may be written at once.
async fn look(client: &Client, mesh: &Mesh) -> kube::Result<bool> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "ServiceEntry");
    let resource = ApiResource::from_gvk_with_plural(&kind, "serviceentries");
    let entries = &mesh.written.service_entries;
    let due: Vec<(&NamespacedName, &Arc<ServiceEntry>)> =
        entries.iter().filter(|(_, entry)| entry.stored != entry.assigned).collect();
    for (name, entry) in due.iter().take(MOST) {
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), &name.namespace, &resource);
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch_status(&name.name, &parameters, &Patch::Merge(status(&entry.assigned))).await {
            Ok(_) => tracing::debug!(object = %name, "addresses written"),
            // It is gone meanwhile.
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(due.len() <= MOST)
}

fn status(addresses: &[HostAddress]) -> Value {
    let item = |one: &HostAddress| json!({ "host": &*one.host, "value": one.address.to_string() });
    json!({ "status": { "addresses": addresses.iter().map(item).collect::<Vec<_>>() } })
}
