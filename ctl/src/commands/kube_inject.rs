//! `trysailctl kube-inject`: the sidecar added to a file, by the same function that the webhook runs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use webhook::inject::{InjectContext, ServerVersion, inject_document};

use super::read;
use crate::cluster::{Cluster, Connection};

/// Adds the sidecar to the workloads of a file.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File with Kubernetes objects (- reads standard input)
    #[arg(short, long = "filename", value_name = "FILE")]
    file: PathBuf,
    /// Writes the result here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// File with the MeshConfig, instead of the cluster's ConfigMap istio
    #[arg(long, alias = "meshConfigFile", value_name = "FILE")]
    mesh_config_file: Option<PathBuf>,
    /// File with the injector's configuration, instead of the cluster's ConfigMap istio-sidecar-injector
    #[arg(long, alias = "injectConfigFile", value_name = "FILE")]
    inject_config_file: Option<PathBuf>,
    /// File with the injector's values, instead of the cluster's ConfigMap istio-sidecar-injector
    #[arg(long, alias = "valuesFile", value_name = "FILE")]
    values_file: Option<PathBuf>,
    /// Revision of the control plane
    #[arg(short, long, default_value = "")]
    revision: String,
}

/// The texts that injection depends on.
#[derive(Debug, Default)]
struct Texts {
    mesh: String,
    config: String,
    values: String,
    server: Option<ServerVersion>,
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When a file or the cluster's configuration can't be read, or an object can't be injected.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let offline = arguments.mesh_config_file.is_some() && arguments.values_file.is_some();
    let mut texts =
        if offline { Texts::default() } else { from_cluster(connection, &arguments.revision).await? };
    for (file, text) in [
        (&arguments.mesh_config_file, &mut texts.mesh),
        (&arguments.inject_config_file, &mut texts.config),
        (&arguments.values_file, &mut texts.values),
    ] {
        if let Some(path) = file {
            *text = read(path)?;
        }
    }
    let server = texts.server.or(Some(ServerVersion::NATIVE_SIDECARS));
    let context = InjectContext::read(&texts.mesh, &texts.config, &texts.values, &arguments.revision)?
        .for_server(server);
    let injected = inject_document(&read(&arguments.file)?, &context)?;
    match arguments.output {
        Some(path) => {
            std::fs::write(&path, injected).with_context(|| format!("writing {}", path.display()))?;
            Ok(String::new())
        }
        None => Ok(injected),
    }
}

async fn from_cluster(connection: &Connection, revision: &str) -> Result<Texts> {
    let cluster = Cluster::connect(connection).await?;
    let suffix =
        if revision.is_empty() || revision == "default" { String::new() } else { format!("-{revision}") };
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &connection.istio_namespace);
    let data = async |name: &str| -> Result<_> {
        let name = format!("{name}{suffix}");
        let map = maps.get(&name).await;
        let map = map.with_context(|| {
            format!(
                "ConfigMap {name} in {}; without a mesh, pass --mesh-config-file and --values-file",
                connection.istio_namespace
            )
        })?;
        Ok(map.data.unwrap_or_default())
    };
    let (mut mesh, mut injector) = (data("istio").await?, data("istio-sidecar-injector").await?);
    let version = cluster.client.apiserver_version().await.context("asking for the API server's version")?;
    Ok(Texts {
        mesh: mesh.remove("mesh").unwrap_or_default(),
        config: injector.remove("config").unwrap_or_default(),
        values: injector.remove("values").unwrap_or_default(),
        server: ServerVersion::parse(&format!("{}.{}", version.major, version.minor)),
    })
}
