//! Everything the proxy knows before it talks to anybody.
//!
//! Command line, environment and mounted files go in; one checked [`Bootstrap`] comes out. The contract is
//! Istio's: its injector's templates start this proxy unchanged. Called once by `main.rs`.

mod addresses;
mod args;
mod downward;
mod duration;
mod environment;
mod error;
mod node;
mod proxy_config;
mod stats;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use addresses::interface_addresses;
pub use args::{ProxyArgs, Role};
pub use environment::Environment;
pub use error::BootstrapError;
pub use node::{Locality, NodeIdentity};
pub use proxy_config::{DEFAULT_DISCOVERY_ADDRESS, ProxyConfig};

use xds::names::parse_bool;

use crate::request::callers;

/// Where the projected service-account token is mounted.
pub const TOKEN_PATH: &str = "/var/run/secrets/tokens/istio-token";
/// Whether the app's questions for names come to the proxy.
const DNS_CAPTURE: &str = "ISTIO_META_DNS_CAPTURE";
/// Where ConfigMap `istio-ca-root-cert` is mounted.
pub const ROOT_CERT_PATH: &str = "/var/run/secrets/istio/root-cert.pem";
/// Folder of certificates that somebody else puts there and renews.
pub const MOUNTED_CERTS_PATH: &str = "/etc/certs";

/// The proxy's own ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Admin interface, loopback only.
    pub admin: u16,
    /// Merged metrics, application probes.
    pub status: u16,
    /// `/healthz/ready` for the kubelet.
    pub health: u16,
    /// The proxy's own metrics.
    pub metrics: u16,
}

/// How the proxy leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long connections of a removed or changed listener may go on.
    pub listener: Duration,
    /// How long connections may go on after SIGTERM.
    pub termination: Duration,
    /// Leave as soon as no connection is open (after `minimum`), however long that takes.
    pub exit_on_zero_connections: bool,
    /// The least time between SIGTERM and leaving.
    pub minimum: Duration,
}

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// The mesh's CA signs them.
    Authority(Authority),
    /// Files that are renewed from outside: `cert-chain.pem`, `key.pem`, `root-cert.pem` in this folder.
    Files(PathBuf),
}

/// The CA and what is needed to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Host and port.
    pub address: String,
    /// File with the roots that its certificate is verified against.
    pub root_file: PathBuf,
    /// File with the token that says who we are; read again for each request.
    pub token_file: PathBuf,
    /// Validity that is asked for.
    pub ttl: Duration,
    /// Without TLS; for a CA on the same host.
    pub plaintext: bool,
    /// The name that the server's certificate must have, where that isn't the host of the address.
    pub server_name: Option<String>,
}

/// The control plane and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Host and port.
    pub address: String,
    /// File with the roots that its certificate is verified against.
    pub root_file: PathBuf,
    /// File with the token, sent while there is no certificate.
    pub token_file: PathBuf,
    /// Without TLS; for a control plane on the same host.
    pub plaintext: bool,
    /// The name that the server's certificate must have, where that isn't the host of the address.
    pub server_name: Option<String>,
}

/// The configuration of the process itself.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Sidecar or gateway.
    pub role: Role,
    /// Who we are on xDS.
    pub node: NodeIdentity,
    /// Pod name.
    pub pod_name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Kubernetes service account, half of the SPIFFE id.
    pub service_account: String,
    /// Trust domain, first part of the SPIFFE id.
    pub trust_domain: String,
    /// Address of the pod; application probes go there.
    pub instance_ip: IpAddr,
    /// Number of worker threads, at least one.
    pub concurrency: usize,
    /// Ports of our own.
    pub ports: Ports,
    /// How to leave.
    pub drain: Drain,
    /// Control plane.
    pub discovery: Discovery,
    /// Certificates.
    pub certificates: CertificateSource,
    /// Whether the app's questions for names come to us (`ISTIO_META_DNS_CAPTURE`).
    pub dns_capture: bool,
    /// Mark on the sockets of upstream connections, for redirect rules that tell us by it.
    pub packet_mark: Option<u32>,
    /// `ISTIO_KUBE_APP_PROBERS`, as found.
    pub app_probers: Option<String>,
    /// `ISTIO_PROMETHEUS_ANNOTATIONS`, as found.
    pub prometheus_annotations: Option<String>,
    /// Application probes go to localhost instead of the pod's address.
    pub probe_localhost: bool,
    /// The whole effective proxy configuration, for what is read elsewhere.
    pub proxy_config: ProxyConfig,
    /// Annotations of the pod.
    pub annotations: BTreeMap<String, String>,
    /// Who may ask what was decided about a request, as written.
    pub debug_callers: Option<String>,
}

impl Bootstrap {
    /// Reads everything; the first thing that can't be used is an error that names it.
    pub fn load(args: &ProxyArgs, env: &Environment) -> Result<Self, BootstrapError> {
        let pod_name = env.required("POD_NAME")?;
        let namespace = env.required("POD_NAMESPACE")?;
        let annotations = downward::read(env, downward::ANNOTATIONS_PATH)?;
        let proxy_config = ProxyConfig::load(args, env, &annotations)?;
        let instance_ip = instance_ip(env)?;
        let service_account = env.text("SERVICE_ACCOUNT").unwrap_or_else(|| "default".to_owned());
        let trust_domain = env.text("TRUST_DOMAIN").unwrap_or_else(|| "cluster.local".to_owned());
        let ports = Ports {
            admin: proxy_config.admin_port()?,
            status: proxy_config.status_port()?,
            health: env.parsed("ENVOY_STATUS_PORT")?.unwrap_or(15021),
            metrics: env.parsed("ENVOY_PROMETHEUS_PORT")?.unwrap_or(15090),
        };
        let drain = drain(env, &proxy_config)?;
        let node = node::build(node::Inputs {
            args,
            env,
            proxy_config: &proxy_config,
            annotations: &annotations,
            pod_name: &pod_name,
            namespace: &namespace,
            service_account: &service_account,
            instance_ip,
            ports,
            exit_on_zero_connections: drain.exit_on_zero_connections,
        })?;
        Ok(Self {
            role: args.role,
            node,
            concurrency: concurrency(args, env, &proxy_config)?,
            discovery: discovery(env, &proxy_config)?,
            certificates: certificates(env, &proxy_config)?,
            packet_mark: env.parsed("TRYSAIL_PACKET_MARK")?,
            dns_capture: args.role == Role::Sidecar && dns_capture(env),
            app_probers: env.text("ISTIO_KUBE_APP_PROBERS"),
            prometheus_annotations: env.text("ISTIO_PROMETHEUS_ANNOTATIONS"),
            probe_localhost: env.parsed("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION")?.unwrap_or(false),
            debug_callers: annotations
                .get(callers::ANNOTATION)
                .cloned()
                .or_else(|| env.text(callers::VARIABLE)),
            pod_name,
            namespace,
            service_account,
            trust_domain,
            instance_ip,
            ports,
            drain,
            proxy_config,
            annotations,
        })
    }

    /// The SPIFFE id that this workload asks a certificate for.
    pub fn spiffe_id(&self) -> String {
        format!("spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

fn dns_capture(env: &Environment) -> bool {
    let Some(text) = env.text(DNS_CAPTURE) else { return false };
    parse_bool(&text).unwrap_or_else(|| {
        tracing::warn!(
            "{DNS_CAPTURE}: {text:?} is neither true nor false; names are left to the nameservers"
        );
        false
    })
}

fn instance_ip(env: &Environment) -> Result<IpAddr, BootstrapError> {
    match env.parsed("INSTANCE_IP")? {
        Some(ip) => Ok(ip),
        None => interface_addresses().into_iter().next().ok_or(BootstrapError::NoAddress),
    }
}

/// Explicit flag, then `ProxyConfig.concurrency`, then the CPU limit, then two. Zero is one per processor.
fn concurrency(args: &ProxyArgs, env: &Environment, config: &ProxyConfig) -> Result<usize, BootstrapError> {
    let flag = (args.concurrency > 0).then_some(args.concurrency);
    let chosen = match flag.or(config.concurrency()?) {
        Some(workers) => workers,
        None => env.parsed("ISTIO_CPU_LIMIT")?.filter(|limit| *limit > 0).unwrap_or(2),
    };
    if chosen > 0 {
        return Ok(chosen);
    }
    Ok(std::thread::available_parallelism().map_or(1, usize::from))
}

fn drain(env: &Environment, config: &ProxyConfig) -> Result<Drain, BootstrapError> {
    Ok(Drain {
        listener: config.drain_duration()?,
        termination: config.termination_drain_duration()?,
        exit_on_zero_connections: env.parsed("EXIT_ON_ZERO_ACTIVE_CONNECTIONS")?.unwrap_or(false),
        minimum: env.duration("MINIMUM_DRAIN_DURATION")?.unwrap_or(Duration::from_secs(5)),
    })
}

fn discovery(env: &Environment, config: &ProxyConfig) -> Result<Discovery, BootstrapError> {
    let address = config.discovery_address()?;
    Ok(Discovery {
        plaintext: config.plaintext_discovery(),
        root_file: root_file(env, "XDS_ROOT_CA"),
        token_file: env.path(TOKEN_PATH),
        server_name: env.text("ISTIOD_SAN").or_else(|| localhost_name(&address)),
        address,
    })
}

fn certificates(env: &Environment, config: &ProxyConfig) -> Result<CertificateSource, BootstrapError> {
    if env.parsed("FILE_MOUNTED_CERTS")?.unwrap_or(false) {
        return Ok(CertificateSource::Files(env.path(MOUNTED_CERTS_PATH)));
    }
    let address = match env.text("CA_ADDR") {
        Some(address) => proxy_config::host_and_port("CA_ADDR", &address)?,
        None => config.discovery_address()?,
    };
    Ok(CertificateSource::Authority(Authority {
        plaintext: config.plaintext_discovery(),
        root_file: root_file(env, "CA_ROOT_CA"),
        token_file: env.path(TOKEN_PATH),
        ttl: env.duration("SECRET_TTL")?.unwrap_or(Duration::from_hours(24)),
        server_name: env.text("ISTIOD_SAN").or_else(|| localhost_name(&address)),
        address,
    }))
}

fn root_file(env: &Environment, variable: &str) -> PathBuf {
    env.text(variable).map_or_else(|| env.path(ROOT_CERT_PATH), PathBuf::from)
}

/// Istio's agent expects istiod's usual certificate when it is reached through a local forward.
fn localhost_name(address: &str) -> Option<String> {
    address.starts_with("localhost:").then(|| "istiod.istio-system.svc".to_owned())
}

#[cfg(test)]
mod tests;
