//! Whether the control plane's webhook answers, and how its certificate is recognized.

use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::MutatingWebhookConfiguration,
        core::v1::{ConfigMap, Service},
    },
};
use kube::{Api, core::ResourceExt};

use super::{ReconcileError, Result, cluster::Cluster};
use crate::{
    Settings, desired,
    names::{OWNER, ROOT_CONFIG_MAP},
    probe,
};

/// Port of the Service that the API server uses.
const PORT: u16 = 443;

/// What was found out.
#[derive(Debug)]
pub(super) enum Webhook {
    /// There is to be none.
    Off,
    /// It answers with a certificate signed by these roots.
    Answers(Vec<u8>),
    /// It doesn't answer now, but did before: the configurations stay as they are.
    Silent { roots: Vec<u8>, problem: String },
    /// It has never answered.
    Never { problem: String },
}

impl Webhook {
    /// Roots for the configurations; none when there are to be no configurations.
    pub(super) fn roots(&self) -> Option<Vec<u8>> {
        match self {
            Self::Off | Self::Never { .. } => None,
            Self::Answers(roots) | Self::Silent { roots, .. } => Some(roots.clone()),
        }
    }

    /// What is still to be waited for.
    pub(super) fn waiting_for(&self) -> Option<&str> {
        match self {
            Self::Off | Self::Answers(_) => None,
            Self::Silent { problem, .. } | Self::Never { problem } => Some(problem),
        }
    }
}

/// Asks the webhook through its Service, as the API server will.
pub(super) async fn look(cluster: &Cluster<'_>, settings: &Settings) -> Result<Webhook> {
    if settings.pilot.is_none() {
        return Ok(Webhook::Off);
    }
    let problem = match roots(cluster, settings).await? {
        None => format!(
            "the webhook: the control plane has not written ConfigMap {}/{ROOT_CONFIG_MAP} yet",
            settings.namespace
        ),
        Some(roots) => match ask(cluster, settings, &roots).await? {
            Ok(()) => return Ok(Webhook::Answers(roots)),
            Err(problem) => format!("the webhook: {problem}"),
        },
    };
    Ok(match configured(cluster, settings).await? {
        Some(roots) => Webhook::Silent { roots, problem },
        None => Webhook::Never { problem },
    })
}

async fn roots(cluster: &Cluster<'_>, settings: &Settings) -> Result<Option<Vec<u8>>> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &settings.namespace);
    let found = maps.get_opt(ROOT_CONFIG_MAP).await;
    let map = found.map_err(ReconcileError::api(format!("reading ConfigMap {ROOT_CONFIG_MAP}")))?;
    Ok(map.and_then(|map| map.data?.remove("root-cert.pem")).map(String::into_bytes))
}

async fn ask(cluster: &Cluster<'_>, settings: &Settings, roots: &[u8]) -> Result<Result<(), String>> {
    let name = settings.named("istiod");
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), &settings.namespace);
    let service =
        services.get_opt(&name).await.map_err(ReconcileError::api(format!("reading Service {name}")))?;
    let Some(address) = service.and_then(|service| service.spec?.cluster_ip).filter(|ip| ip != "None") else {
        return Ok(Err(format!("Service {}/{name} has no address", settings.namespace)));
    };
    let host = format!("{name}.{}.svc", settings.namespace);
    Ok(probe::probe(&join(&address), &host, roots).await.map_err(|problem| problem.to_string()))
}

/// Roots in the configuration that exists, if it is ours.
async fn configured(cluster: &Cluster<'_>, settings: &Settings) -> Result<Option<Vec<u8>>> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let name = desired::injector_name(settings);
    let found = configurations.get_opt(&name).await;
    let found = found.map_err(ReconcileError::api(format!("reading MutatingWebhookConfiguration {name}")))?;
    let ours = found.filter(|found| found.labels().get(OWNER) == Some(&settings.owner));
    let webhook = ours.and_then(|found| found.webhooks?.into_iter().next());
    Ok(webhook.and_then(|webhook| webhook.client_config.ca_bundle).map(|ByteString(roots)| roots))
}

/// Address and port as one; IPv6 in brackets.
fn join(address: &str) -> String {
    if address.contains(':') { format!("[{address}]:{PORT}") } else { format!("{address}:{PORT}") }
}
