//! Init container `istio-init`: writes the redirect rules into the pod's network namespace.

use k8s_openapi::api::core::v1::Container;

use super::{
    environment,
    names::{self, INIT_CONTAINER},
    proxy::{self, Role},
    security,
    settings::Settings,
};

/// The container. Its flags are those of Istio's `istio-iptables`.
pub(super) fn container(settings: &Settings<'_>) -> Container {
    let global = &settings.values.global;
    let metadata = settings.proxy.proxy_metadata.iter();
    let env: Vec<_> = metadata.map(|(name, text)| environment::value(name, text)).collect();
    Container {
        name: INIT_CONTAINER.to_owned(),
        image: Some(settings.image(&global.proxy_init.image)),
        image_pull_policy: Some(global.image_pull_policy.clone()).filter(|policy| !policy.is_empty()),
        args: Some(arguments(settings)),
        env: Some(env).filter(|list| !list.is_empty()),
        resources: proxy::resources(settings, Role::Sidecar),
        security_context: Some(security::init(settings)),
        ..Default::default()
    }
}

fn arguments(settings: &Settings<'_>) -> Vec<String> {
    let values = &settings.values.global.proxy;
    let port = |set: Option<i32>, default: i32| set.filter(|port| *port != 0).unwrap_or(default).to_string();
    let mut flags = vec![
        ("-p", port(settings.mesh.proxy_listen_port, 15001)),
        ("-z", port(settings.mesh.proxy_inbound_listen_port, 15006)),
        ("-u", settings.proxy_uid.to_string()),
        ("-m", "REDIRECT".to_owned()),
        ("-i", settings.annotation_or(names::INCLUDE_OUTBOUND_RANGES, &values.include_ip_ranges)),
        ("-x", settings.annotation_or(names::EXCLUDE_OUTBOUND_RANGES, &values.exclude_ip_ranges)),
        ("-b", settings.annotation_or(names::INCLUDE_INBOUND_PORTS, &values.include_inbound_ports)),
        ("-d", excluded_inbound_ports(settings)),
    ];
    let optional = [
        ("-q", Some(settings.annotation_or(names::INCLUDE_OUTBOUND_PORTS, &values.include_outbound_ports))),
        ("-o", Some(settings.annotation_or(names::EXCLUDE_OUTBOUND_PORTS, &values.exclude_outbound_ports))),
        (
            "-k",
            [names::REROUTE_INTERFACES, names::KUBEVIRT_INTERFACES]
                .iter()
                .find_map(|name| settings.annotation(name))
                .map(str::to_owned),
        ),
        ("-c", settings.annotation(names::EXCLUDE_INTERFACES).map(str::to_owned)),
    ];
    flags.extend(
        optional.into_iter().filter_map(|(flag, value)| Some((flag, value.filter(|v| !v.is_empty())?))),
    );
    let mut arguments = vec!["istio-iptables".to_owned()];
    arguments.extend(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
    arguments.extend(proxy::agent_log_arguments(settings));
    arguments
}

/// The proxy's own ports are reached directly: 15090, 15021, what pod or mesh exclude, and the status port.
fn excluded_inbound_ports(settings: &Settings<'_>) -> String {
    let own = settings
        .annotation_or(names::EXCLUDE_INBOUND_PORTS, &settings.values.global.proxy.exclude_inbound_ports);
    let mut ports = vec!["15090".to_owned(), "15021".to_owned()];
    ports.extend(own.split(',').map(str::trim).filter(|port| !port.is_empty()).map(str::to_owned));
    let status = settings.status_port.to_string();
    if settings.status_port != 0 && !ports.contains(&status) {
        ports.push(status);
    }
    ports.join(",")
}
