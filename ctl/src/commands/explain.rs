//! `trysailctl explain`: which rule a request meets, and why.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use explain::{Decision, Evaluator, Request, Role};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::Output;
use super::proxy_config::ADMIN;
use crate::cluster::{Cluster, Connection};
use crate::explain::{health, live, manifests, page, sender};

/// Says what becomes of a request, and why: listener, virtual host, VirtualService, rule, DestinationRule, endpoints.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Who sends: POD, POD.NAMESPACE, deploy/NAME, svc/NAME.NAMESPACE, ...; a gateway for requests from outside
    #[arg(long, value_name = "WORKLOAD")]
    from: String,
    /// To whom: HOST:PORT, or a URL
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Path and query
    #[arg(long)]
    path: Option<String>,
    /// Method
    #[arg(long, default_value = "GET")]
    method: String,
    /// A header, as curl takes it: 'end-user: jason'; `host` sets the authority
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Namespace of the sender, and of objects in files that name none
    #[arg(short, long)]
    namespace: Option<String>,
    /// Files or folders with the mesh's YAML, instead of a cluster; - is standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "short")]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// When the question names what isn't there, with what may have been meant.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let decision = if arguments.files.is_empty() {
        against_cluster(&arguments, connection).await?
    } else {
        let namespace = arguments.namespace.as_deref().unwrap_or("default");
        let mesh = manifests::mesh(&arguments.files, namespace)?;
        let (source, _) = sender::find(&mesh, &arguments.from, arguments.namespace.as_deref())?;
        let request = request(&arguments, source.role)?;
        Evaluator::new(&mesh).expecting_workloads().explain(&source, &request)?
    };
    match arguments.output {
        Output::Short => Ok(page::page(&decision)),
        other => other.render(&decision),
    }
}

async fn against_cluster(arguments: &Arguments, connection: &Connection) -> Result<Decision> {
    let cluster = Cluster::connect(connection).await?;
    let mesh = live::mesh(&cluster, &connection.istio_namespace).await?;
    let (source, pod) = sender::find(&mesh, &arguments.from, arguments.namespace.as_deref())?;
    let request = request(arguments, source.role)?;
    let mut decision = Evaluator::new(&mesh).explain(&source, &request)?;
    // Its proxy may have ejected some; without one there is nothing to ask.
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &pod.namespace);
    if let Some(pod) = api.get_opt(&pod.name).await?.filter(crate::target::has_proxy) {
        match cluster.get(&pod, ADMIN, "/clusters?format=json").await {
            Ok(bytes) => health::mark(&mut decision, &serde_json::from_slice(&bytes)?),
            Err(error) => decision.notes.push(format!("the proxy's own view is missing: {error:#}")),
        }
    }
    Ok(decision)
}

fn request(arguments: &Arguments, role: Role) -> Result<Request> {
    let (scheme, rest) = match arguments.to.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some((other, _)) => bail!("--to {}: the scheme {other} is neither http nor https", arguments.to),
        None => ("http", arguments.to.as_str()),
    };
    let tls = scheme == "https";
    let (authority, of_url) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let port = port.parse().ok().filter(|port: &u16| *port > 0);
            (
                host,
                port.with_context(|| {
                    format!("--to {}: {authority} has no port from 1 to 65535", arguments.to)
                })?,
            )
        }
        _ => (authority, if tls { 443 } else { 80 }),
    };
    if host.is_empty() {
        bail!("--to {}: a host is missing; write HOST:PORT", arguments.to);
    }
    if tls && role == Role::Sidecar {
        bail!(
            "--to {}: what an app encrypts itself is bytes to its sidecar; ask for {host}:{port} without https",
            arguments.to
        );
    }
    let path = match (&arguments.path, of_url) {
        (Some(path), _) => path.clone(),
        (None, "") => "/".to_owned(),
        (None, path) => path.to_owned(),
    };
    if !path.starts_with('/') {
        bail!("--path {path}: a path begins with /");
    }
    let mut request =
        Request { tls, method: arguments.method.to_ascii_uppercase(), ..Request::get(host, port, &path) };
    for header in &arguments.headers {
        let (name, value) =
            header.split_once(':').with_context(|| format!("-H {header:?}: write NAME: VALUE"))?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.contains(char::is_whitespace) {
            bail!("-H {header:?}: {name:?} is no name of a header");
        }
        if name.eq_ignore_ascii_case("host") {
            request.authority = Some(value.to_owned());
        } else {
            request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    Ok(request)
}
