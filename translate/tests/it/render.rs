//! Resources as short text: what matters of each on one line.

use std::fmt::Write;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, lb_endpoint::HostIdentifier};
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use translate::{ResourceType, Resources};

/// Unpacks a message of this type, if it is one.
pub(crate) fn unpack<M: Message + Name + Default>(any: &Any) -> Option<M> {
    (any.type_url == M::type_url()).then(|| M::decode(&*any.value).unwrap())
}

/// All resources of a type whose name contains a text.
pub(crate) fn render(resources: &Resources, kind: ResourceType, filter: &str) -> String {
    let mut out = String::new();
    for resource in resources.iter(kind).filter(|resource| resource.name.contains(filter)) {
        let text = match kind {
            ResourceType::Cluster => cluster(&Cluster::decode(&*resource.body).unwrap()),
            ResourceType::Endpoints => endpoints(&ClusterLoadAssignment::decode(&*resource.body).unwrap()),
            ResourceType::Listener => listener(&listener::Listener::decode(&*resource.body).unwrap()),
            ResourceType::Route => {
                configuration(&route::RouteConfiguration::decode(&*resource.body).unwrap())
            }
            ResourceType::VirtualHost => virtual_host(&route::VirtualHost::decode(&*resource.body).unwrap()),
            ResourceType::Secret => tls::Secret::decode(&*resource.body).unwrap().name,
            ResourceType::NameTable => {
                format!("{:?}", xds::NameTable::decode(&*resource.body).unwrap().table)
            }
        };
        writeln!(out, "{text}").unwrap();
    }
    out.trim_end().to_owned()
}

fn cluster(cluster: &Cluster) -> String {
    let kind = match &cluster.cluster_discovery_type {
        Some(cluster::ClusterDiscoveryType::Type(kind)) => {
            cluster::DiscoveryType::try_from(*kind).unwrap().as_str_name()
        }
        other => panic!("{other:?}"),
    };
    let mut out = format!("{} {kind} {}", cluster.name, cluster.lb_policy().as_str_name());
    for one in &cluster.transport_socket_matches {
        write!(out, "\n  {}: {}", one.name, socket(one.transport_socket.as_ref())).unwrap();
    }
    if cluster.transport_socket.is_some() {
        write!(out, "\n  always: {}", socket(cluster.transport_socket.as_ref())).unwrap();
    }
    if let Some(outlier) = &cluster.outlier_detection {
        let errors = outlier.consecutive_5xx.as_ref().map(|value| value.value);
        write!(out, "\n  ejects after {errors:?}").unwrap();
    }
    let limits = cluster.circuit_breakers.iter().flat_map(|breakers| &breakers.thresholds);
    for limit in
        limits.filter_map(|limit| limit.max_connections.as_ref()).filter(|limit| limit.value < u32::MAX)
    {
        write!(out, "\n  at most {} connections", limit.value).unwrap();
    }
    if let Some(assignment) = &cluster.load_assignment {
        write!(out, "\n  {}", endpoints(assignment)).unwrap();
    }
    out
}

fn socket(socket: Option<&core::TransportSocket>) -> String {
    let Some(core::transport_socket::ConfigType::TypedConfig(any)) =
        socket.and_then(|socket| socket.config_type.as_ref())
    else {
        return "plaintext".to_owned();
    };
    if let Some(client) = unpack::<tls::UpstreamTlsContext>(any) {
        return format!("TLS to {:?} {}", client.sni, common(client.common_tls_context.as_ref()));
    }
    if let Some(server) = unpack::<tls::DownstreamTlsContext>(any) {
        let strict = server.require_client_certificate.is_some_and(|flag| flag.value);
        let peer = if strict { "peer certified " } else { "" };
        return format!("TLS {peer}{}", common(server.common_tls_context.as_ref()));
    }
    "plaintext".to_owned()
}

fn common(context: Option<&tls::CommonTlsContext>) -> String {
    let context = context.unwrap();
    let certificates: Vec<_> =
        context.tls_certificate_sds_secret_configs.iter().map(|config| config.name.as_str()).collect();
    let mut out = format!("as {certificates:?} alpn {:?}", context.alpn_protocols);
    use tls::common_tls_context::ValidationContextType;
    if let Some(ValidationContextType::CombinedValidationContext(both)) = &context.validation_context_type {
        let roots = both.validation_context_sds_secret_config.as_ref().map_or("", |config| &config.name);
        #[allow(deprecated)]
        let names =
            both.default_validation_context.iter().flat_map(|context| &context.match_subject_alt_names);
        write!(out, " roots {roots} names {:?}", names.map(string).collect::<Vec<_>>()).unwrap();
    }
    out
}

fn string(matcher: &matcher::StringMatcher) -> String {
    use matcher::string_matcher::MatchPattern;
    match matcher.match_pattern.as_ref() {
        Some(MatchPattern::Exact(text)) => format!("={text}"),
        Some(MatchPattern::Prefix(text)) => format!("^{text}"),
        Some(MatchPattern::SafeRegex(regex)) => format!("~{}", regex.regex),
        other => format!("{other:?}"),
    }
}

fn address(address: Option<&core::Address>) -> String {
    match address.and_then(|address| address.address.as_ref()) {
        Some(core::address::Address::SocketAddress(socket)) => {
            let Some(core::socket_address::PortSpecifier::PortValue(port)) = &socket.port_specifier else {
                return socket.address.clone();
            };
            format!("{}:{port}", socket.address)
        }
        Some(core::address::Address::Pipe(pipe)) => pipe.path.clone(),
        _ => "nowhere".to_owned(),
    }
}

fn endpoints(assignment: &ClusterLoadAssignment) -> String {
    let mut out = format!("{}:", assignment.cluster_name);
    for group in &assignment.endpoints {
        let place =
            group.locality.as_ref().map_or_else(String::new, |at| format!("{}/{} ", at.region, at.zone));
        let weight = group.load_balancing_weight.map_or(0, |weight| weight.value);
        write!(out, " [{place}weight {weight} priority {}]", group.priority).unwrap();
        for one in &group.lb_endpoints {
            let Some(HostIdentifier::Endpoint(endpoint)) = &one.host_identifier else { continue };
            let filters = one.metadata.as_ref().map(|metadata| &metadata.filter_metadata);
            let secured = filters.is_some_and(|filters| filters.contains_key("envoy.transport_socket_match"));
            write!(out, " {}{}", address(endpoint.address.as_ref()), if secured { " mtls" } else { "" })
                .unwrap();
        }
    }
    out
}

fn listener(listener: &listener::Listener) -> String {
    let mut out = format!("{} at {}", listener.name, address(listener.address.as_ref()));
    let inspectors: Vec<_> =
        listener.listener_filters.iter().filter_map(|filter| filter.name.rsplit('.').next()).collect();
    write!(out, " {inspectors:?}").unwrap();
    for chain in &listener.filter_chains {
        write!(out, "\n  {}", filter_chain(chain)).unwrap();
    }
    if let Some(chain) = &listener.default_filter_chain {
        write!(out, "\n  otherwise {}", filter_chain(chain)).unwrap();
    }
    out
}

fn filter_chain(chain: &listener::FilterChain) -> String {
    let mut when = Vec::new();
    if let Some(conditions) = &chain.filter_chain_match {
        when.extend(conditions.destination_port.map(|port| format!(":{}", port.value)));
        when.extend(conditions.prefix_ranges.iter().map(|range| {
            format!("{}/{}", range.address_prefix, range.prefix_len.map_or(0, |length| length.value))
        }));
        when.extend(
            (!conditions.transport_protocol.is_empty()).then(|| conditions.transport_protocol.clone()),
        );
        when.extend(conditions.application_protocols.iter().cloned());
        when.extend(conditions.server_names.iter().map(|name| format!("sni {name}")));
    }
    let secured =
        chain.transport_socket.as_ref().map_or(String::new(), |at| format!(" {}", socket(Some(at))));
    let filters: Vec<_> = chain.filters.iter().map(network_filter).collect();
    format!("[{}]{secured} -> {}", when.join(" "), filters.join(", "))
}

fn network_filter(filter: &listener::Filter) -> String {
    let Some(listener::filter::ConfigType::TypedConfig(any)) = &filter.config_type else {
        return filter.name.clone();
    };
    if let Some(manager) = unpack::<hcm::HttpConnectionManager>(any) {
        use hcm::http_connection_manager::RouteSpecifier;
        return match manager.route_specifier.unwrap() {
            RouteSpecifier::Rds(rds) => format!("http by {}", rds.route_config_name),
            RouteSpecifier::RouteConfig(inline) => {
                format!("http {}", configuration(&inline).replace('\n', ""))
            }
            RouteSpecifier::ScopedRoutes(_) => "scoped".to_owned(),
        };
    }
    let proxy = unpack::<tcp::TcpProxy>(any).unwrap();
    match proxy.cluster_specifier.unwrap() {
        tcp::tcp_proxy::ClusterSpecifier::Cluster(name) => format!("tcp to {name}"),
        tcp::tcp_proxy::ClusterSpecifier::WeightedClusters(several) => {
            let parts: Vec<_> =
                several.clusters.iter().map(|one| format!("{}x {}", one.weight, one.name)).collect();
            format!("tcp to {}", parts.join(" + "))
        }
    }
}

fn configuration(configuration: &route::RouteConfiguration) -> String {
    let mut out = configuration.name.clone();
    if configuration.vhds.is_some() {
        out.push_str(" (virtual hosts one by one)");
    }
    for host in &configuration.virtual_hosts {
        write!(out, "\n  {}", virtual_host(host).replace('\n', "\n  ")).unwrap();
    }
    out
}

fn virtual_host(host: &route::VirtualHost) -> String {
    let tls = if host.require_tls == 0 { "" } else { " TLS only" };
    let mut out = format!("{} {:?}{tls}", host.name, host.domains);
    for one in &host.routes {
        write!(out, "\n  {}", route(one)).unwrap();
    }
    out
}

fn route(route: &route::Route) -> String {
    use route::route::Action;
    let conditions = route.r#match.as_ref().map(conditions).unwrap_or_default();
    let name = if route.name.is_empty() { String::new() } else { format!("{}: ", route.name) };
    let action = match route.action.as_ref() {
        Some(Action::Route(action)) => forward(action),
        Some(Action::Redirect(redirect)) => format!("{redirect:?}"),
        Some(Action::DirectResponse(response)) => format!("answer {}", response.status),
        other => format!("{other:?}"),
    };
    let mut out = format!("{name}{conditions} -> {action}");
    for (verb, headers) in
        [("request", &route.request_headers_to_add), ("response", &route.response_headers_to_add)]
    {
        for option in headers {
            let header = option.header.as_ref().unwrap();
            write!(out, " {verb} {}:{} ({})", header.key, header.value, option.append_action).unwrap();
        }
    }
    let mut filters: Vec<_> = route.typed_per_filter_config.keys().collect();
    filters.sort();
    if !filters.is_empty() {
        write!(out, " {filters:?}").unwrap();
    }
    out
}

fn conditions(conditions: &route::RouteMatch) -> String {
    use route::route_match::PathSpecifier;
    let mut out = match &conditions.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => format!("={path}"),
        Some(PathSpecifier::SafeRegex(regex)) => format!("~{}", regex.regex),
        other => format!("{other:?}"),
    };
    if conditions.case_sensitive.is_some_and(|flag| !flag.value) {
        out.push_str(" any case");
    }
    for header in &conditions.headers {
        use route::header_matcher::HeaderMatchSpecifier;
        let value = match header.header_match_specifier.as_ref() {
            Some(HeaderMatchSpecifier::StringMatch(text)) => string(text),
            Some(HeaderMatchSpecifier::PresentMatch(_)) => "*".to_owned(),
            other => format!("{other:?}"),
        };
        let not = if header.invert_match { "!" } else { "" };
        write!(out, " {not}{}{value}", header.name).unwrap();
    }
    for parameter in &conditions.query_parameters {
        use route::query_parameter_matcher::QueryParameterMatchSpecifier;
        let value = match parameter.query_parameter_match_specifier.as_ref() {
            Some(QueryParameterMatchSpecifier::StringMatch(text)) => string(text),
            _ => "*".to_owned(),
        };
        write!(out, " ?{}{value}", parameter.name).unwrap();
    }
    out
}

fn forward(action: &route::RouteAction) -> String {
    use route::route_action::{ClusterSpecifier, HostRewriteSpecifier};
    let mut out = match action.cluster_specifier.as_ref().unwrap() {
        ClusterSpecifier::Cluster(name) => name.clone(),
        ClusterSpecifier::WeightedClusters(several) => {
            let one = |one: &route::weighted_cluster::ClusterWeight| {
                format!("{}x {}", one.weight.map_or(0, |weight| weight.value), one.name)
            };
            several.clusters.iter().map(one).collect::<Vec<_>>().join(" + ")
        }
        other => format!("{other:?}"),
    };
    if !action.prefix_rewrite.is_empty() {
        write!(out, " rewritten to {}", action.prefix_rewrite).unwrap();
    }
    if let Some(regex) = &action.regex_rewrite {
        write!(out, " rewritten to {}", regex.substitution).unwrap();
    }
    if let Some(HostRewriteSpecifier::HostRewriteLiteral(host)) = &action.host_rewrite_specifier {
        write!(out, " as {host}").unwrap();
    }
    if let Some(timeout) = action.timeout.filter(|timeout| timeout.seconds != 0 || timeout.nanos != 0) {
        write!(out, " within {}.{:03}s", timeout.seconds, timeout.nanos / 1_000_000).unwrap();
    }
    match &action.retry_policy {
        Some(retries) => {
            let attempts = retries.num_retries.map_or(0, |attempts| attempts.value);
            if attempts != 2 || !retries.retry_on.starts_with("connect-failure") {
                write!(out, " retried {attempts}x on {}", retries.retry_on).unwrap();
            }
        }
        None => out.push_str(" never retried"),
    }
    for mirror in &action.request_mirror_policies {
        write!(out, " mirrored to {}", mirror.cluster).unwrap();
    }
    for hash in &action.hash_policy {
        write!(out, " hashed by {:?}", hash.policy_specifier.as_ref().unwrap()).unwrap();
    }
    out
}
