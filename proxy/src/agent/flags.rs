//! Command line of `trysail-proxy agent`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::bootstrap::{Authority, DEFAULT_DISCOVERY_ADDRESS, ROOT_CERT_PATH, TOKEN_PATH};

/// Flags of `trysail-proxy agent`; the variables are those of Istio's agent.
#[derive(Debug, Clone, Args)]
pub struct AgentFlags {
    /// Unix socket on which Envoy asks for secrets
    #[arg(long, default_value = "./var/run/secrets/workload-spiffe-uds/socket")]
    pub sds_socket: PathBuf,
    /// Address of the CA
    #[arg(long, env = "CA_ADDR", default_value = DEFAULT_DISCOVERY_ADDRESS)]
    pub ca_address: String,
    /// File with the token that proves the identity to the CA; read again for each request
    #[arg(long, default_value = TOKEN_PATH)]
    pub token_file: PathBuf,
    /// File with the roots that the CA's own certificate is verified against
    #[arg(long, env = "CA_ROOT_CA", default_value = ROOT_CERT_PATH)]
    pub root_file: PathBuf,
    /// Name that the CA's certificate must have, where that isn't the host of the address
    #[arg(long, env = "ISTIOD_SAN")]
    pub ca_server_name: Option<String>,
    /// Talk to the CA without TLS; for a CA on this host
    #[arg(long)]
    pub plaintext: bool,
    /// Trust domain of the identity
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// Namespace of the identity
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Service account of the identity
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "default")]
    pub service_account: String,
    /// Cluster that the CA is told
    #[arg(long, env = "ISTIO_META_CLUSTER_ID")]
    pub cluster_id: Option<String>,
    /// Validity that is asked for, in seconds
    #[arg(long, default_value_t = 86_400)]
    pub ttl_seconds: u64,
}

impl AgentFlags {
    pub(super) fn spiffe_id(&self) -> String {
        format!("spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }

    pub(super) fn authority(&self) -> Authority {
        Authority {
            address: self.ca_address.clone(),
            root_file: self.root_file.clone(),
            token_file: self.token_file.clone(),
            ttl: Duration::from_secs(self.ttl_seconds),
            plaintext: self.plaintext,
            server_name: self.ca_server_name.clone(),
        }
    }
}
