//! Questions that have no answer, with what may have been meant.

/// What the question gets wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// No service has the host.
    #[error("no service is called {host} in namespace {namespace}, nor anywhere by its full name{}", meant(.closest.as_deref()))]
    UnknownHost {
        /// As asked.
        host: String,
        /// Whose namespace short names belong to.
        namespace: String,
        /// What may have been meant.
        closest: Option<String>,
    },
    /// The sender doesn't see the service.
    #[error("{service} is not visible to namespace {namespace}: {why}")]
    NotVisible {
        /// The service's full name.
        service: String,
        /// The sender's namespace.
        namespace: String,
        /// Which object says so, and where.
        why: String,
    },
    /// The service has no such port.
    #[error("{service} has no port {port}; it has {ports}")]
    NoPort {
        /// The service's full name.
        service: String,
        /// As asked.
        port: u16,
        /// Those that it has, with their names.
        ports: String,
    },
    /// The port carries datagrams, which no proxy touches.
    #[error("port {port} of {service} is UDP, which goes past the proxy")]
    Datagrams {
        /// The service's full name.
        service: String,
        /// As asked.
        port: u16,
    },
    /// A gateway that listens nowhere for this.
    #[error("{gateway} has no {what}; {instead}")]
    NoServer {
        /// The gateway proxy.
        gateway: String,
        /// What it lacks.
        what: String,
        /// What there is.
        instead: String,
    },
}

fn meant(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |closest| format!("; did you mean {closest}?"))
}
