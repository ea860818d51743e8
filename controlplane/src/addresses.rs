//! `.status.addresses` of ServiceEntries: what the mesh gave to hosts without addresses. Written by the leader only; every
//! replica reads them back, so that a host keeps its address whatever becomes of the control plane.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use leader::Seat;
use model::Mesh;
use model::config::HostAddress;
use serde_json::{Value, json};

use crate::chore::Chore;

/// Between looks at the mesh.
const PAUSE: Duration = Duration::from_secs(1);
/// Writes after one look: ten a second, as for other statuses.
const MOST: usize = 10;
/// Who owns these fields.
const MANAGER: &str = "trysail-addresses";

/// Keeps the addresses of every ServiceEntry, while this replica has the seat.
pub(crate) async fn keep(client: Client, mesh: Arc<ArcSwap<Mesh>>, seat: Seat) {
    let mut chore = Chore::new(PAUSE, "addresses of ServiceEntries", seat);
    loop {
        chore.due().await;
        chore.work(look(&client, &mesh.load_full())).await;
    }
}

/// Writes what differs, as far as it may be written at once.
async fn look(client: &Client, mesh: &Mesh) -> kube::Result<()> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "ServiceEntry");
    let resource = ApiResource::from_gvk_with_plural(&kind, "serviceentries");
    let entries = &mesh.written.service_entries;
    for (name, entry) in entries.iter().filter(|(_, entry)| entry.stored != entry.assigned).take(MOST) {
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), &name.namespace, &resource);
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch_status(&name.name, &parameters, &Patch::Merge(status(&entry.assigned))).await {
            Ok(_) => tracing::debug!(object = %name, "addresses written"),
            // It is gone meanwhile.
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn status(addresses: &[HostAddress]) -> Value {
    let item = |one: &HostAddress| json!({ "host": &*one.host, "value": one.address.to_string() });
    json!({ "status": { "addresses": addresses.iter().map(item).collect::<Vec<_>>() } })
}
