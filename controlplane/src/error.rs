//! Why the control plane could not start or had to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be opened.
    #[error(
        "cannot listen on {address} for {port}: {source}; another process has it, or it needs privileges"
    )]
    Listen {
        /// What the port is for.
        port: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The folder of YAML cannot be watched.
    #[error("--config-dir {folder:?} cannot be watched: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The CA is not usable.
    #[error("the CA in {place} is not usable: {source}")]
    Ca {
        /// Folder or Secret.
        place: String,
        /// Why.
        source: pki::PkiError,
    },
    /// A file of the CA could not be read or written.
    #[error("{path:?}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No cluster.
    #[error("cannot reach a Kubernetes cluster: {0}; give --kubeconfig, or --config-dir to run without one")]
    Cluster(String),
    /// An API call that the start depends on failed.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// TLS could not be configured.
    #[error(transparent)]
    Tls(#[from] pki::PkiError),
}
