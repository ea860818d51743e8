//! Why the proxy can't start.

/// One thing in the environment that can't be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A variable isn't set.
    #[error(
        "environment variable {0} is not set; the injector sets it from the pod (is this container started by it?)"
    )]
    Missing(&'static str),
    /// A variable has a senseless value.
    #[error("environment variable {name}: {value:?} is not {expected}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        value: String,
    },
    /// A variable holds JSON that doesn't parse.
    #[error("environment variable {name}: {problem}; write a JSON object")]
    Json {
        /// Its name.
        name: String,
        /// What the parser said.
        problem: String,
    },
    /// A source of proxy configuration doesn't parse.
    #[error("proxy configuration in {source_name}: {problem}")]
    ProxyConfig {
        /// File, variable or annotation.
        source_name: String,
        /// What the parser said.
        problem: String,
    },
    /// A field of the effective proxy configuration has a senseless value.
    #[error("proxy configuration: {field}: {value} is not {expected}")]
    Field {
        /// Path of the field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// An address without a port.
    #[error(
        "{field}: {value:?} is not an address; write host:port, for example istiod.istio-system.svc:15012"
    )]
    Address {
        /// Where it was found.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// A file exists and can't be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A downward-API file isn't in its format.
    #[error("{path}, line {line}: {text:?} is not of the form key=\"value\"")]
    Downward {
        /// Which file.
        path: String,
        /// Which line, from one.
        line: usize,
        /// Its text.
        text: String,
    },
    /// No interface has an address.
    #[error("no network interface has an address; set INSTANCE_IP to the pod's address")]
    NoAddress,
}
