//! `.status.addresses` of ServiceEntries: what the mesh gave to hosts without addresses. Written by the leader only; every
//! replica reads them back, so that a host keeps its address whatever becomes of the control plane.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use leader::Seat;
use model::config::HostAddress;
use model::{Kind, Mesh};
use serde_json::{Value, json};

use crate::chore::Chore;
use crate::source::kubernetes::istio_resource;

/// Between looks at the mesh.
const PAUSE: Duration = Duration::from_secs(1);
/// Writes after one look: ten a second, as for other statuses.
const MOST: usize = 10;
/// Who owns these fields.
const MANAGER: &str = "trysail-addresses";

/// Keeps the addresses of every ServiceEntry, while this replica has the seat.
pub(crate) async fn keep(client: Client, mesh: Arc<ArcSwap<Mesh>>, seat: Seat) {
    let mut chore = Chore::new(PAUSE, "addresses of ServiceEntries", seat);
    let mut done = None;
    loop {
        chore.due().await;
        chore.work(look(&client, &mesh, &mut done)).await;
    }
}

/// Writes what differs, as far as it may be written at once. `done` is the version of the last mesh in which nothing did.
async fn look(client: &Client, mesh: &ArcSwap<Mesh>, done: &mut Option<u64>) -> kube::Result<()> {
    let mesh = mesh.load_full();
    if *done == Some(mesh.version) {
        return Ok(());
    }
    let Some(resource) = istio_resource(Kind::ServiceEntry) else { return Ok(()) };
    let mut differ: Vec<_> = mesh.written.service_entries.iter().collect();
    differ.retain(|(_, entry)| entry.stored != entry.assigned);
    if differ.is_empty() {
        *done = Some(mesh.version);
    }
    for (name, entry) in differ.into_iter().take(MOST) {
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
