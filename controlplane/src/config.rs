//! What `trysail-controlplane discovery` can be told, by flags and by the environment that istiod's Deployment sets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::serve::Patience;

/// Settings of one control plane process.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder of YAML to serve instead of a Kubernetes cluster; changes are followed
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// kubeconfig of the cluster; default: the pod's service account, then $KUBECONFIG
    #[arg(long, value_name = "FILE", conflicts_with = "config_dir")]
    pub kubeconfig: Option<PathBuf>,
    /// Revision of this control plane
    #[arg(long, env = "REVISION", default_value = "default")]
    pub revision: String,
    /// DNS domain of the cluster
    #[arg(long, env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub domain: String,
    /// Name of the cluster in telemetry and endpoint metadata
    #[arg(long, env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// Namespace of the control plane
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-system")]
    pub namespace: String,
    /// Name of this replica; default: the host's name
    #[arg(long, env = "POD_NAME", default_value_t = hostname())]
    pub pod_name: String,
    /// Plaintext xDS and CA; anyone who reaches it can read the mesh's configuration, so it is loopback by default
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15010")]
    pub plaintext_address: SocketAddr,
    /// xDS and CA over TLS
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:15012")]
    pub secure_address: SocketAddr,
    /// /metrics, /version, /debug
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:15014")]
    pub monitoring_address: SocketAddr,
    /// Admission webhooks over TLS
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:15017")]
    pub webhook_address: SocketAddr,
    /// /ready and /debug
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub http_address: SocketAddr,
    /// Without Kubernetes: JSON lines {"token": "...", "identity": "namespace/serviceaccount"} that authenticate proxies
    #[arg(long, value_name = "FILE", requires = "config_dir")]
    pub token_file: Option<PathBuf>,
    /// Without Kubernetes: folder with root-cert.pem, ca-cert.pem, ca-key.pem, cert-chain.pem; made if it has no CA yet
    #[arg(long, value_name = "DIR", requires = "config_dir")]
    pub ca_dir: Option<PathBuf>,
    /// Validity of workload certificates where the request names none
    #[arg(long, env = "DEFAULT_WORKLOAD_CERT_TTL", value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub workload_ttl: Duration,
    /// Longest validity of workload certificates
    #[arg(long, env = "MAX_WORKLOAD_CERT_TTL", value_name = "DURATION", default_value = "2160h", value_parser = duration)]
    pub max_workload_ttl: Duration,
    /// How long a VirtualService that would send requests to a service, subset or endpoint that does not exist yet is held
    /// for it, its predecessor in effect meanwhile; 0s: takes effect at once
    #[arg(long, env = "TRYSAIL_RULE_HOLD", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub rule_hold: Duration,
    /// How long peers may take; tests are less patient
    #[arg(skip)]
    pub patience: Patience,
}

impl Options {
    /// Everything at its default, in a folder; ports chosen by the system. For tests.
    pub fn for_folder(config_dir: PathBuf) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            config_dir: Some(config_dir),
            kubeconfig: None,
            revision: "default".to_owned(),
            domain: "cluster.local".to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            namespace: "istio-system".to_owned(),
            pod_name: "istiod-test".to_owned(),
            plaintext_address: any,
            secure_address: any,
            monitoring_address: any,
            webhook_address: any,
            http_address: any,
            token_file: None,
            ca_dir: None,
            workload_ttl: Duration::from_hours(24),
            max_workload_ttl: Duration::from_hours(2160),
            rule_hold: Duration::from_secs(30),
            patience: Patience::default(),
        }
    }

    /// The names by which proxies and the API server reach this control plane.
    pub fn dns_names(&self) -> Vec<String> {
        let mut hosts = vec!["istiod".to_owned()];
        if self.revision != "default" {
            hosts.push(format!("istiod-{}", self.revision));
        }
        let (namespace, domain) = (&self.namespace, &self.domain);
        hosts
            .iter()
            .flat_map(|host| {
                [
                    format!("{host}.{namespace}.svc"),
                    format!("{host}.{namespace}.svc.{domain}"),
                    format!("{host}.{namespace}"),
                ]
            })
            .collect()
    }
}

fn duration(text: &str) -> Result<Duration, crds::DurationError> {
    text.parse::<crds::Duration>().map(Duration::from)
}

fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "istiod".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn plaintext_is_loopback_unless_asked_otherwise() {
        let options = Command::parse_from(["discovery"]).options;
        assert!(options.plaintext_address.ip().is_loopback());
        let open = Command::parse_from(["discovery", "--plaintext-address", "0.0.0.0:15010"]).options;
        assert!(open.plaintext_address.ip().is_unspecified());
    }

    #[test]
    fn durations_are_written_as_for_istiod() {
        let options = Command::parse_from(["discovery", "--workload-ttl", "1m0s"]).options;
        assert_eq!(options.workload_ttl, Duration::from_mins(1));
        assert!(Command::try_parse_from(["discovery", "--workload-ttl", "soon"]).is_err());
    }

    #[test]
    fn a_revision_has_names_of_its_own_beside_the_default() {
        let options = Options { revision: "canary".into(), ..Options::for_folder("x".into()) };
        let names = options.dns_names();
        assert!(names.contains(&"istiod.istio-system.svc".to_owned()));
        assert!(names.contains(&"istiod-canary.istio-system.svc.cluster.local".to_owned()));
    }
}
