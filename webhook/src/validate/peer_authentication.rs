//! PeerAuthentication.

use crds::security::PeerAuthenticationSpec;

use super::{
    destination_rule::workload_selector,
    findings::{At, Findings},
    names,
};

pub(super) fn check(spec: &PeerAuthenticationSpec, found: &mut Findings) {
    let at = At::spec();
    let selects = spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty());
    found.error_if(
        !selects && !spec.port_level_mtls.is_empty(),
        &at.field("portLevelMtls"),
        "needs a selector with matchLabels: ports belong to workloads",
    );
    for port in spec.port_level_mtls.keys() {
        found.check(&at.key("portLevelMtls", &port.to_string()), names::port(*port));
    }
    if let Some(selector) = &spec.selector {
        workload_selector(&at.field("selector"), selector, found);
    }
}
