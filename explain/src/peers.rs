//! What a workload's ports demand of their peers.

use model::config::{MutualTlsMode, PeerAuthentication};
use model::{Labels, Mesh};

use crate::outcome::PeerPolicy;

/// The mode of a port, with the object that says so: the port's over the workload's over the namespace's over the
/// mesh's, the oldest of several. In the root namespace selectors select nothing.
pub(crate) fn demands(mesh: &Mesh, namespace: &str, labels: &Labels, port: u16) -> PeerPolicy {
    let root = &*mesh.settings.root_namespace;
    let all = |namespace: &str| -> Vec<&PeerAuthentication> {
        let listed = mesh.peer_authentications.get(namespace).filter(|_| mesh.discovers(namespace));
        listed.into_iter().flat_map(|list| list.iter()).map(|it| &**it).collect()
    };
    let plain = |namespace: &str| all(namespace).into_iter().find(|policy| policy.selector.is_empty());
    let mut found: (MutualTlsMode, Option<&PeerAuthentication>) = (MutualTlsMode::Permissive, None);
    let mut levels = vec![plain(root)];
    if namespace != root {
        levels.push(plain(namespace));
        let selecting =
            |policy: &&PeerAuthentication| !policy.selector.is_empty() && labels.satisfy(&policy.selector);
        levels.push(all(namespace).into_iter().find(selecting));
    }
    for policy in levels.into_iter().flatten() {
        if let Some(mode) = policy.mode {
            found = (mode, Some(policy));
        }
        if !policy.selector.is_empty()
            && let Some(Some(mode)) = policy.ports.get(&port)
        {
            found = (*mode, Some(policy));
        }
    }
    PeerPolicy {
        mode: match found.0 {
            MutualTlsMode::Disable => "DISABLE",
            MutualTlsMode::Permissive => "PERMISSIVE",
            MutualTlsMode::Strict => "STRICT",
        }
        .to_owned(),
        policy: found.1.map(|policy| policy.meta.name.to_string()),
    }
}
