//! WorkloadEntry, and endpoints of a ServiceEntry.

use crds::networking::WorkloadEntrySpec;

use super::{
    findings::{At, Findings},
    names,
};

/// `by_name` says whether the address may be a name.
pub(super) fn check(at: &At, entry: &WorkloadEntrySpec, by_name: bool, found: &mut Findings) {
    let address = entry.address.as_deref().unwrap_or_default();
    let field = at.field("address");
    if address.is_empty() {
        match entry.network.as_deref() {
            None | Some("") => found.error(&field, "is needed, unless network is set"),
            Some(network) => {
                found.warning(&field, format!("is absent, so the gateway of network {network:?} is used"));
            }
        }
    } else if let Some(path) = address.strip_prefix("unix://") {
        found.check(&field, names::unix_socket(path));
        found.error_if(!entry.ports.is_empty(), &at.field("ports"), "a Unix socket has no ports");
    } else if !names::is_ip(address) && (!by_name || names::domain(address).is_err()) {
        let wanted = if by_name {
            "an IP address or a host name"
        } else {
            "an IP address (use resolution DNS for names)"
        };
        found.error(&field, format!("{address:?} is not {wanted}"));
    }
    for (name, port) in &entry.ports {
        let at = at.key("ports", name);
        found.check(&at, names::port_name(name));
        found.check(&at, names::port(*port));
    }
    names::label_map(at, "labels", &entry.labels, found);
}
