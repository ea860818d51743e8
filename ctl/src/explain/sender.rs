//! Who sends: `deploy/productpage`, `productpage-v1-7d9f.shop`, `svc/web.shop`.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use explain::{Role, Source};
use model::{Labels, Mesh, NamespacedName, Workload};

/// What a name may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pod,
    Owner,
    Service,
}

/// The sender that a name means, and a pod of it.
///
/// # Errors
/// When nothing goes by that name, with what may have been meant.
pub fn find(mesh: &Mesh, name: &str, namespace: Option<&str>) -> Result<(Source, NamespacedName)> {
    let (prefix, target) = name.split_once('/').unwrap_or(("pod", name));
    let kind = match prefix.split('.').next().unwrap_or_default() {
        "pod" | "pods" | "po" => Kind::Pod,
        "svc" | "service" | "services" => Kind::Service,
        "deploy" | "deployment" | "deployments" | "sts" | "statefulset" | "statefulsets" | "ds"
        | "daemonset" | "daemonsets" | "rs" | "replicaset" | "replicasets" | "job" | "jobs" => Kind::Owner,
        _ => bail!("{name}: name a pod, deploy/NAME, sts/NAME, ds/NAME, rs/NAME, job/NAME or svc/NAME"),
    };
    // Names have dots too, so that the whole is tried first.
    let parts = target.rsplit_once('.').filter(|(name, namespace)| !name.is_empty() && !namespace.is_empty());
    let mut meant = vec![(target, namespace)];
    meant.extend(parts.map(|(name, namespace)| (name, Some(namespace))));
    let found = meant.iter().find_map(|(name, namespace)| first(mesh, kind, name, *namespace));
    let workload = found.ok_or_else(|| unknown(mesh, kind, name, &meant))?;
    Ok((source(mesh, &workload), workload.instance.clone()))
}

/// Without a namespace: of the namespace `default`, else of the only one that has it.
fn first(mesh: &Mesh, kind: Kind, name: &str, namespace: Option<&str>) -> Option<Arc<Workload>> {
    let all = mesh.workloads.values().filter(|workload| is(mesh, kind, workload, name));
    let mut all: Vec<_> = match namespace {
        Some(namespace) => all.filter(|workload| *workload.instance.namespace == *namespace).collect(),
        None => all.collect(),
    };
    let elsewhere = |workload: &Arc<Workload>| &*workload.instance.namespace != "default";
    all.sort_by_key(|workload| (elsewhere(workload), workload.instance.clone()));
    let first = all.first()?;
    let same = all.iter().all(|workload| workload.instance.namespace == first.instance.namespace);
    (same || !elsewhere(first)).then(|| Arc::clone(first))
}

fn is(mesh: &Mesh, kind: Kind, workload: &Workload, name: &str) -> bool {
    match kind {
        Kind::Pod => *workload.instance.name == *name,
        // `deploy/productpage` is what people call Deployment productpage-v1 of the app productpage.
        Kind::Owner => *workload.name == *name || *workload.canonical_name == *name,
        Kind::Service => mesh.services.values().any(|service| {
            *service.name == *name
                && service.key.namespace == workload.instance.namespace
                && !service.selector.is_empty()
                && workload.labels.satisfy(&service.selector)
        }),
    }
}

fn unknown(mesh: &Mesh, kind: Kind, asked: &str, meant: &[(&str, Option<&str>)]) -> anyhow::Error {
    let names = |workload: &Workload| match kind {
        Kind::Pod => workload.instance.name.to_string(),
        Kind::Owner | Kind::Service => workload.name.to_string(),
    };
    let known: Vec<(String, String)> = mesh
        .workloads
        .values()
        .map(|workload| (names(workload), workload.instance.namespace.to_string()))
        .collect();
    if known.is_empty() {
        return anyhow!("{asked}: there are no workloads at all; with -f, name the Deployments' files too");
    }
    let prefix = asked.split_once('/').map_or("", |(prefix, _)| prefix);
    let full = |name: &str, namespace: &str| match prefix {
        "" => format!("{name}.{namespace}"),
        prefix => format!("{prefix}/{name}.{namespace}"),
    };
    let plain: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let elsewhere: Vec<String> = known
        .iter()
        .filter(|(name, _)| meant.iter().any(|(wanted, _)| wanted == name))
        .map(|(name, namespace)| full(name, namespace))
        .collect();
    let closest = meant.iter().find_map(|(name, _)| crds::closest(name, &plain));
    let hint = match (&elsewhere[..], closest) {
        ([], Some(name)) => {
            let namespace =
                known.iter().find(|(known, _)| known == name).map_or("default", |(_, it)| it.as_str());
            format!("; did you mean {}?", full(name, namespace))
        }
        ([], None) => String::new(),
        (several, _) => format!("; there is {}", several.join(", ")),
    };
    let namespace = meant[0].1.map_or_else(String::new, |it| format!(" in namespace {it}"));
    anyhow!("no workload{namespace} is called {asked}{hint}")
}

/// A proxy that some Gateway selects is a gateway.
fn source(mesh: &Mesh, workload: &Workload) -> Source {
    let labels: &Labels = &workload.labels;
    let gateway = mesh
        .gateways
        .values()
        .any(|gateway| !gateway.selector.is_empty() && labels.satisfy(&gateway.selector));
    Source {
        name: workload.name.to_string(),
        namespace: workload.instance.namespace.clone(),
        labels: labels.clone(),
        role: if gateway { Role::Gateway } else { Role::Sidecar },
    }
}
