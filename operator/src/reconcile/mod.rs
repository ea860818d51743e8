//! The kube edge: watches MeshInstalls and what they own, makes the cluster as `desired` says, and reports.
//!
//! [`reconcile`] reads like the story it tells: judge the spec, hold the object, learn about the cluster, apply, prune, look
//! at what became of it, say so. Everything that decides is pure and elsewhere; here is only the talking.

mod cluster;
mod context;
mod observe;
mod report;
mod uninstall;
mod watch;
mod webhook;

use std::{sync::Arc, time::Duration};

use kube::{
    core::{DynamicObject, ResourceExt},
    runtime::controller::Action,
};

pub(crate) use self::watch::resource as mesh_installs;
use self::{
    cluster::{ApplyError, Cluster},
    report::Report,
};
pub use self::{context::Context, watch::run};
use crate::{
    ClusterFacts, Settings, desired,
    judge::{self, Judgement},
    names::OWNER,
    plan::{self, ObjectId, Owned},
    status::Progress,
};

/// While something is being waited for that no watch tells of.
const SOON: Duration = Duration::from_secs(2);
/// While only a person can help.
const LATER: Duration = Duration::from_secs(30);
/// Whatever no watch told of is put right then.
const SOMETIME: Duration = Duration::from_mins(5);

/// Why a MeshInstall couldn't be looked at. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server refused or didn't answer.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

impl ReconcileError {
    pub(crate) fn api(doing: impl ToString) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.to_string();
        move |source| Self::Api { doing, source: Box::new(source) }
    }
}

type Result<T, E = ReconcileError> = std::result::Result<T, E>;

/// Makes the cluster as a MeshInstall says, or removes what it made.
async fn reconcile(object: Arc<DynamicObject>, ctx: Arc<Context>) -> Result<Action> {
    let started = std::time::Instant::now();
    let mut report = Report::new(&object, &ctx);
    let result = if object.metadata.deletion_timestamp.is_some() {
        uninstall::uninstall(&object, &ctx, &mut report).await
    } else {
        install(&object, &ctx, &mut report).await
    };
    let outcome = match &result {
        Ok(_) => report.outcome(),
        Err(error) => {
            report.failing(&error.to_string()).await;
            "failed"
        }
    };
    ctx.metrics.reconciled(outcome, started.elapsed());
    if result.is_ok() {
        ctx.forget_failures(&object.name_any());
    }
    result
}

async fn install(object: &DynamicObject, ctx: &Context, report: &mut Report<'_>) -> Result<Action> {
    let cluster = Cluster::new(&ctx.client, &ctx.metrics);
    let others = cluster.mesh_installs().await?;
    let settings = match judge::judge(object, &others, &ctx.release) {
        Judgement::Refused { reason, message } => {
            report.progress(Progress::Stalled(reason, message)).await?;
            return Ok(Action::requeue(LATER));
        }
        Judgement::Accepted { settings, warnings } => {
            report.warn(&warnings).await;
            settings
        }
    };
    report.version(&settings.tag);
    cluster.hold(object).await?;
    report.seen().await?;

    let (facts, webhook) = learn(&cluster, &settings).await?;
    let objects = match desired::objects(&settings, &facts) {
        Ok(objects) => objects,
        Err(error) => {
            report.progress(Progress::Stalled("InvalidSpec", error.to_string())).await?;
            return Ok(Action::requeue(LATER));
        }
    };
    let owned = cluster.owned(&settings.owner).await?;
    match cluster.apply(&objects, &owned).await {
        Ok(()) => {}
        Err(ApplyError::Refused { reason, message }) => {
            report.progress(Progress::Stalled(reason, message)).await?;
            return Ok(Action::requeue(LATER));
        }
        Err(ApplyError::Failed(error)) => return Err(error),
    }
    let ending = prune(&cluster, &settings, &owned, &objects).await?;
    if settings.pilot.is_none() && ending.is_empty() {
        uninstall::remove_leftovers(object, &cluster, report).await?;
    }

    let mut found = observe::components(&cluster, &objects).await?;
    found.ending(&ending);
    let progress = found.progress(webhook.waiting_for());
    let next = if progress.is_ready() { SOMETIME } else { SOON };
    report.components(found);
    report.progress(progress).await?;
    Ok(Action::requeue(next))
}

/// What the desired objects depend on.
async fn learn(cluster: &Cluster<'_>, settings: &Settings) -> Result<(ClusterFacts, webhook::Webhook)> {
    let mut facts = ClusterFacts::default();
    for name in settings.namespaces() {
        let namespace = cluster.namespace(&name).await?;
        if namespace.is_some_and(|namespace| namespace.labels().get(OWNER) != Some(&settings.owner)) {
            facts.foreign_namespaces.insert(name);
        }
    }
    let webhook = webhook::look(cluster, settings).await?;
    facts.webhook_roots = webhook.roots();
    Ok((facts, webhook))
}

/// Removes what is no longer wanted, and gives back what hasn't gone yet.
async fn prune(
    cluster: &Cluster<'_>,
    settings: &Settings,
    owned: &[Owned],
    objects: &[DynamicObject],
) -> Result<Vec<ObjectId>> {
    let wanted: Vec<ObjectId> = objects.iter().filter_map(ObjectId::of).collect();
    let superfluous = plan::prune(owned, &wanted);
    for object in superfluous.iter().filter(|object| !object.ending) {
        tracing::info!(mesh_install = settings.owner, "removing {}, which is no longer wanted", object.id);
        cluster.delete(&object.id).await?;
    }
    Ok(superfluous.into_iter().map(|object| object.id).collect())
}

#[cfg(test)]
mod tests;
