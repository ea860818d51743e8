//! PeerAuthentication.

use std::collections::BTreeMap;

use crds::security::{MutualTls, MutualTlsMode as Written, PeerAuthenticationSpec};

use crate::value::{Labels, Meta};

/// What a workload's port accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MutualTlsMode {
    /// Plaintext only, or TLS of the app's own.
    Disable,
    /// Both.
    #[default]
    Permissive,
    /// Mutual TLS only.
    Strict,
}

/// What workloads demand of their peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// Identity and age.
    pub meta: Meta,
    /// Workloads it is for; empty means all of its namespace, or of the mesh if it is the root namespace.
    pub selector: Labels,
    /// Mode; none is inherited.
    pub mode: Option<MutualTlsMode>,
    /// Modes by workload port; none is inherited from `mode`.
    pub ports: BTreeMap<u16, Option<MutualTlsMode>>,
}

impl PeerAuthentication {
    /// From its spec.
    pub fn new(meta: Meta, spec: &PeerAuthenticationSpec) -> Self {
        let ports = spec
            .port_level_mtls
            .iter()
            .filter_map(|(port, mtls)| Some((u16::try_from(*port).ok()?, mode_of(Some(mtls)))))
            .collect();
        Self {
            meta,
            selector: Labels::of(spec.selector.as_ref().map(|selector| &selector.match_labels)),
            mode: mode_of(spec.mtls.as_ref()),
            ports,
        }
    }
}

fn mode_of(mtls: Option<&MutualTls>) -> Option<MutualTlsMode> {
    match mtls?.mode? {
        Written::Disable => Some(MutualTlsMode::Disable),
        Written::Permissive => Some(MutualTlsMode::Permissive),
        Written::Strict => Some(MutualTlsMode::Strict),
        Written::Unset | Written::Unrecognized => None,
    }
}
