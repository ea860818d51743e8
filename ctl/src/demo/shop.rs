//! The demo's namespace. A label marks it as the demo's own: no other is written to, and no other is ever deleted.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::progress::Progress;

/// The label of a namespace that the demo made.
const OURS: (&str, &str) = ("mesh.trysail.dev/demo", "bookinfo");

/// How long a namespace may take to go away.
const GONE_WITHIN: Duration = Duration::from_mins(2);

/// Makes the namespace, or labels the one of an earlier demo; one that is still going away is waited for.
pub(super) async fn open(cluster: &Cluster, name: &str, label: (&str, &str)) -> Result<()> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    if let Some(found) = api.get_opt(name).await.with_context(|| format!("namespace {name}"))? {
        if !ours(&found) {
            bail!(
                "namespace {name} is there already, and the demo did not make it: name another one with --namespace, \
                 or delete it"
            );
        }
        if found.metadata.deletion_timestamp.is_some() {
            gone(&api, name).await?;
        }
    }
    let labels = json!({ label.0: label.1, OURS.0: OURS.1 });
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
    cluster.apply(&[namespace], false).await
}

/// Deletes the demo's namespace and waits until it is gone; says whether there was one.
///
/// # Errors
/// When the namespace isn't the demo's, or is still there after two minutes.
pub async fn remove(cluster: &Cluster, name: &str, progress: &mut Progress) -> Result<bool> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let Some(found) = api.get_opt(name).await.with_context(|| format!("namespace {name}"))? else {
        return Ok(false);
    };
    if !ours(&found) {
        bail!("namespace {name} was not made by the demo, so it is left alone");
    }
    progress.say(&format!("Removing namespace {name}"));
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error).with_context(|| format!("deleting namespace {name}")),
    }
    gone(&api, name).await?;
    Ok(true)
}

fn ours(namespace: &Namespace) -> bool {
    let labels = namespace.metadata.labels.iter().flatten();
    labels.into_iter().any(|(name, value)| (name.as_str(), value.as_str()) == OURS)
}

async fn gone(api: &Api<Namespace>, name: &str) -> Result<()> {
    let deadline = Instant::now() + GONE_WITHIN;
    while let Some(namespace) = api.get_opt(name).await? {
        if Instant::now() > deadline {
            let conditions = namespace.status.and_then(|status| status.conditions).unwrap_or_default();
            let held = conditions.into_iter().filter(|condition| condition.status == "True");
            let held: Vec<_> = held.filter_map(|condition| condition.message).collect();
            bail!("namespace {name} is still there after {} s: {}", GONE_WITHIN.as_secs(), held.join("; "));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_namespace_that_carries_the_demos_label_is_the_demos() -> Result<()> {
        let cases = [
            (json!({}), false),
            (json!({ "labels": { "istio-injection": "enabled" } }), false),
            (json!({ "labels": { "mesh.trysail.dev/demo": "bookinfo" } }), true),
        ];
        for (metadata, wanted) in cases {
            let namespace: Namespace = serde_json::from_value(json!({ "metadata": metadata }))?;
            assert_eq!(ours(&namespace), wanted, "{metadata}");
        }
        Ok(())
    }
}
