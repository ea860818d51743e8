//! The pod's `resolv.conf`: whom the app asks for names, and which domains it tries them with.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use hickory_resolver::system_conf::parse_resolv_conf;

/// What is read of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// In the order in which they are asked.
    pub nameservers: Vec<IpAddr>,
    /// In lower case, without a dot at the end.
    pub search: Vec<String>,
}

/// Why it can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ResolvConfError {
    path: String,
    problem: String,
}

impl ResolvConf {
    /// Where every pod has it.
    pub const PATH: &str = "/etc/resolv.conf";

    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read or names no nameserver.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ResolvConfError> {
        let path = path.as_ref();
        let said = |problem: String| ResolvConfError { path: path.display().to_string(), problem };
        let text = std::fs::read(path).map_err(|error: io::Error| said(error.to_string()))?;
        Self::parse(&text).map_err(said)
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let (config, _) = parse_resolv_conf(text).map_err(|error| error.to_string())?;
        let plain = |name: String| name.trim_end_matches('.').to_ascii_lowercase();
        let search = config.search().iter().map(|name| plain(name.to_ascii()));
        Ok(Self {
            nameservers: config.name_servers().iter().map(|server| server.ip).collect(),
            search: search.filter(|domain| !domain.is_empty()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_file_is_understood() {
        let text = "search shop.svc.Cluster.local svc.cluster.local cluster.local\n\
                    nameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n";
        let expected = ResolvConf {
            nameservers: vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()],
            search: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]
                .map(str::to_owned)
                .to_vec(),
        };
        assert_eq!(ResolvConf::parse(text.as_bytes()), Ok(expected));
        assert_eq!(ResolvConf::parse(b"nameserver 127.0.0.1").unwrap().search, Vec::<String>::new());
    }

    #[test]
    fn without_nameservers_it_is_refused() {
        assert!(ResolvConf::parse(b"search a.b\n").unwrap_err().contains("no nameservers"));
        let error = ResolvConf::read("/nowhere/resolv.conf").unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/resolv.conf: "), "{error}");
    }
}
