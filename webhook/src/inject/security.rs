//! Security contexts. Everything but the init step meets Kubernetes' `restricted` pod security.

use k8s_openapi::api::core::v1::{Capabilities, SeccompProfile, SecurityContext};

use super::{names::PROXY_UID, settings::Settings};

/// Of a sidecar: an ordinary user without capabilities and with nothing to write to.
pub(super) fn proxy(settings: &Settings<'_>) -> SecurityContext {
    let privileged = settings.values.global.proxy.privileged;
    SecurityContext {
        allow_privilege_escalation: Some(privileged),
        privileged: Some(privileged),
        capabilities: Some(only(&[])),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        run_as_user: Some(PROXY_UID),
        run_as_group: Some(PROXY_UID),
        seccomp_profile: Some(seccomp(settings)),
        ..Default::default()
    }
}

/// Of a gateway: the same; it is never privileged, for it has no rules to write.
pub(super) fn gateway(settings: &Settings<'_>) -> SecurityContext {
    SecurityContext { allow_privilege_escalation: Some(false), privileged: Some(false), ..proxy(settings) }
}

/// Of the init step: root, for the rules of the pod's own network namespace, and nothing else.
pub(super) fn init(settings: &Settings<'_>) -> SecurityContext {
    let privileged = settings.values.global.proxy.privileged;
    SecurityContext {
        allow_privilege_escalation: Some(privileged),
        privileged: Some(privileged),
        capabilities: Some(only(&["NET_ADMIN", "NET_RAW"])),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(false),
        run_as_user: Some(0),
        run_as_group: Some(0),
        seccomp_profile: Some(seccomp(settings)),
        ..Default::default()
    }
}

fn only(capabilities: &[&str]) -> Capabilities {
    let add: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
    Capabilities { add: Some(add).filter(|list| !list.is_empty()), drop: Some(vec!["ALL".to_owned()]) }
}

fn seccomp(settings: &Settings<'_>) -> SeccompProfile {
    let runtime_default = || SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None };
    settings
        .values
        .global
        .proxy
        .seccomp_profile
        .clone()
        .filter(|set| !set.type_.is_empty())
        .unwrap_or_else(runtime_default)
}
