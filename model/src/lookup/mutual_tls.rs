//! What a workload's ports accept.

use std::collections::BTreeMap;

use crate::config::{MutualTlsMode, PeerAuthentication};
use crate::mesh::Mesh;
use crate::value::Labels;

/// Mutual TLS of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MutualTls {
    /// Where no port says otherwise.
    pub mode: MutualTlsMode,
    /// By workload port.
    pub ports: BTreeMap<u16, MutualTlsMode>,
}

impl MutualTls {
    /// The mode of a workload port.
    pub fn of_port(&self, port: u16) -> MutualTlsMode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }
}

impl Mesh {
    /// The effective policy of a workload: port over workload over namespace over mesh; the oldest wins a tie.
    /// Selectors in the root namespace select nothing, as in Istio: policies there are for the whole mesh.
    pub fn mutual_tls(&self, namespace: &str, labels: &Labels) -> MutualTls {
        let policies = |namespace: &str| {
            let listed = self.peer_authentications.get(namespace).filter(|_| self.discovers(namespace));
            listed.into_iter().flat_map(|list| list.iter())
        };
        let for_all = |namespace: &str| policies(namespace).find(|policy| policy.selector.is_empty());
        let root = &*self.settings.root_namespace;
        let mode_of =
            |policy: Option<&std::sync::Arc<PeerAuthentication>>| policy.and_then(|policy| policy.mode);
        let mut mode = mode_of(for_all(root)).unwrap_or_default();
        if namespace == root {
            return MutualTls { mode, ports: BTreeMap::new() };
        }
        mode = mode_of(for_all(namespace)).unwrap_or(mode);
        let workload = policies(namespace)
            .find(|policy| !policy.selector.is_empty() && labels.satisfy(&policy.selector));
        mode = mode_of(workload).unwrap_or(mode);
        let ports = workload
            .into_iter()
            .flat_map(|policy| &policy.ports)
            .map(|(port, written)| (*port, written.unwrap_or(mode)))
            .collect();
        MutualTls { mode, ports }
    }
}
