//! What leads to a look at a MeshInstall: a change of itself, or of anything that carries its label.

use std::{sync::Arc, time::Duration};

use crds::mesh::MeshInstall;
use futures::StreamExt;
use kube::{
    Api,
    core::{ApiResource, DynamicObject, ResourceExt},
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::ObjectRef,
        watcher,
    },
};

use super::{Context, ReconcileError, reconcile};
use crate::{names::OWNER, plan::KINDS};

/// Changes come in bursts: a Deployment's status changes with every pod.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// The API of MeshInstalls. Untyped, so that fields nobody knows are seen and named.
pub(crate) fn resource() -> ApiResource {
    ApiResource::erase::<MeshInstall>(&())
}

/// Reconciles until `stop`.
pub async fn run(ctx: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let resource = resource();
    let installs: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &resource);
    let mut controller = Controller::new_with(installs, watcher::Config::default(), resource.clone())
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(2));
    for kind in KINDS {
        let owned: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &kind.resource());
        let of_install = resource.clone();
        let owner = move |object: DynamicObject| {
            object.labels().get(OWNER).map(|name| ObjectRef::new_with(name, of_install.clone()))
        };
        let config = watcher::Config::default().labels(OWNER);
        controller = controller.watches_with(owned, kind.resource(), config, owner);
    }
    let results = controller.graceful_shutdown_on(stop).run(reconcile, retry, ctx);
    results
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "reconciliation");
            }
            std::future::ready(())
        })
        .await;
}

fn retry(object: Arc<DynamicObject>, error: &ReconcileError, ctx: Arc<Context>) -> Action {
    let name = object.name_any();
    let pause = ctx.back_off(&name);
    tracing::warn!(mesh_install = name, "{error}; trying again in {} s", pause.as_secs());
    Action::requeue(pause)
}
