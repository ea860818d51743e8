//! `proxy-config listener`: where a proxy listens, what each filter chain matches and where it leads.

use serde_json::Value;

use super::{resources, strings, text};
use crate::table::Columns;

/// Which listeners to show; an absent field shows all.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// The address it listens at.
    pub address: Option<&'a str>,
    /// The port it listens at.
    pub port: Option<u16>,
    /// `HTTP`, `TCP` or `HTTP+TCP`.
    pub kind: Option<&'a str>,
}

fn address(listener: &Value) -> &str {
    text(listener, "/address/socket_address/address")
}

fn port(listener: &Value) -> u64 {
    listener.pointer("/address/socket_address/port_value").and_then(Value::as_u64).unwrap_or(0)
}

fn chains(listener: &Value) -> impl Iterator<Item = &Value> {
    let chains = listener.get("filter_chains").and_then(Value::as_array).into_iter().flatten();
    chains.chain(listener.get("default_filter_chain"))
}

/// `HTTP`, `TCP` or both, by the filters of all chains; a chain that leads nowhere doesn't count.
fn kind(listener: &Value) -> &'static str {
    let filters = || chains(listener).flat_map(|chain| chain["filters"].as_array().into_iter().flatten());
    let has = |kind: &str, but: &str| {
        filters().any(|filter| {
            let config = &filter["typed_config"];
            text(config, "/@type").ends_with(kind) && text(config, "/cluster") != but
        })
    };
    match (has("HttpConnectionManager", "-"), has("TcpProxy", "BlackHoleCluster")) {
        (true, true) => "HTTP+TCP",
        (true, false) => "HTTP",
        (false, true) => "TCP",
        (false, false) => "UNKNOWN",
    }
}

/// The listeners that pass the filter, by port and address.
pub fn select<'a>(dump: &'a Value, filter: &Filter<'_>) -> Vec<&'a Value> {
    let lists = [("dynamic_listeners", "/active_state/listener"), ("static_listeners", "/listener")];
    let mut listeners = resources(dump, "ListenersConfigDump", &lists);
    listeners.retain(|listener| {
        filter.address.is_none_or(|wanted| wanted == address(listener))
            && filter.port.is_none_or(|wanted| u64::from(wanted) == port(listener))
            && filter.kind.is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind(listener)))
    });
    listeners.sort_by_key(|listener| (port(listener), address(listener)));
    listeners
}

/// The table: a row for each filter chain.
pub fn table(listeners: &[&Value]) -> Columns {
    let mut columns = Columns::new(&["ADDRESSES", "PORT", "MATCH", "DESTINATION"]);
    for listener in listeners {
        let mut rows: Vec<_> = chains(listener).map(|chain| (destination(chain), matches(chain))).collect();
        rows.sort_by(|one, other| other.0.cmp(&one.0));
        for (destination, matches) in rows {
            columns.row(&[address(listener), &port(listener).to_string(), &matches, &destination]);
        }
    }
    columns
}

/// The application protocols that always come together, and what istioctl calls them.
const PROTOCOLS: [(&str, &[&str]); 4] = [
    ("App: HTTP TLS", &["http/1.0", "http/1.1", "h2c", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
    ("App: Istio HTTP Plain", &["istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
    ("App: TCP TLS", &["istio-peer-exchange", "istio"]),
    ("App: HTTP", &["http/1.0", "http/1.1", "h2c"]),
];

fn matches(chain: &Value) -> String {
    let criteria = chain.get("filter_chain_match").unwrap_or(&Value::Null);
    let mut parts = Vec::new();
    let names = strings(criteria, "/server_names");
    if !names.is_empty() {
        parts.push(format!("SNI: {}", names.join(",")));
    }
    let transport = text(criteria, "/transport_protocol");
    if !transport.is_empty() {
        parts.push(format!("Trans: {transport}"));
    }
    let protocols = strings(criteria, "/application_protocols");
    if !protocols.is_empty() {
        let known = PROTOCOLS.iter().find(|(_, list)| *list == protocols);
        parts.push(
            known.map_or_else(|| format!("App: {}", protocols.join(",")), |(name, _)| (*name).to_owned()),
        );
    }
    let port = criteria.get("destination_port").and_then(Value::as_u64).map(|port| format!(":{port}"));
    let ranges = criteria.get("prefix_ranges").and_then(Value::as_array).into_iter().flatten();
    let ranges: Vec<_> = ranges.map(range).collect();
    match (ranges.is_empty(), port) {
        (false, port) => {
            let port = port.unwrap_or_default();
            parts.push(format!(
                "Addr: {}",
                ranges.iter().map(|range| format!("{range}{port}")).collect::<Vec<_>>().join(",")
            ));
        }
        (true, Some(port)) => parts.push(format!("Addr: *{port}")),
        (true, None) => {}
    }
    if parts.is_empty() { "ALL".to_owned() } else { parts.join("; ") }
}

fn range(range: &Value) -> String {
    let address = text(range, "/address_prefix");
    match range.get("prefix_len").and_then(Value::as_u64) {
        Some(32 | 128) => address.to_owned(),
        Some(length) => format!("{address}/{length}"),
        None => format!("{address}/0"),
    }
}

fn destination(chain: &Value) -> String {
    let filters = chain.get("filters").and_then(Value::as_array).into_iter().flatten();
    for filter in filters {
        let config = filter.get("typed_config").unwrap_or(&Value::Null);
        let kind = text(config, "/@type");
        if kind.ends_with("HttpConnectionManager") {
            return http_destination(config);
        }
        if kind.ends_with("TcpProxy") {
            return tcp_destination(config);
        }
    }
    "Non-HTTP/Non-TCP".to_owned()
}

fn http_destination(config: &Value) -> String {
    let route = text(config, "/rds/route_config_name");
    if !route.is_empty() {
        return format!("Route: {route}");
    }
    let hosts = config.pointer("/route_config/virtual_hosts").and_then(Value::as_array).into_iter().flatten();
    let routes = hosts.flat_map(|host| host.get("routes").and_then(Value::as_array).into_iter().flatten());
    let clusters: Vec<_> =
        routes.map(|route| text(route, "/route/cluster")).filter(|name| !name.is_empty()).collect();
    match clusters.as_slice() {
        [] => "Inline Route".to_owned(),
        [cluster, ..] if cluster.contains("inbound") || cluster.contains("Inbound") => named(cluster),
        clusters => format!("Inline Route: {}", clusters.join(", ")),
    }
}

fn tcp_destination(config: &Value) -> String {
    match text(config, "/cluster") {
        "" => {
            let weighted =
                config.pointer("/weighted_clusters/clusters").and_then(Value::as_array).into_iter().flatten();
            let names: Vec<_> = weighted.map(|cluster| text(cluster, "/name")).collect();
            format!("Clusters: {}", names.join(", "))
        }
        cluster => named(cluster),
    }
}

/// As istioctl has it: a cluster that is called one, such as PassthroughCluster, isn't called so twice.
fn named(cluster: &str) -> String {
    if cluster.contains("Cluster") { cluster.to_owned() } else { format!("Cluster: {cluster}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chain_is_described_by_what_it_matches_and_where_it_leads() {
        let hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        let tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
        let cases = [
            (
                json!({ "filters": [{ "typed_config": { "@type": hcm, "rds": { "route_config_name": "9080" } } }] }),
                "ALL",
                "Route: 9080",
            ),
            (
                json!({ "filter_chain_match": { "destination_port": 3306, "prefix_ranges": [{ "address_prefix": "10.0.0.1", "prefix_len": 32 }] },
                     "filters": [{ "typed_config": { "@type": tcp, "cluster": "outbound|3306||db.default" } }] }),
                "Addr: 10.0.0.1:3306",
                "Cluster: outbound|3306||db.default",
            ),
            (
                json!({ "filter_chain_match": { "transport_protocol": "tls", "application_protocols": ["istio-peer-exchange", "istio"] },
                     "filters": [{ "typed_config": { "@type": tcp, "cluster": "inbound|3306||" } }] }),
                "Trans: tls; App: TCP TLS",
                "Cluster: inbound|3306||",
            ),
            (
                json!({ "filters": [{ "typed_config": { "@type": tcp, "cluster": "PassthroughCluster" } }] }),
                "ALL",
                "PassthroughCluster",
            ),
        ];
        for (chain, wanted_match, wanted_destination) in cases {
            assert_eq!(matches(&chain), wanted_match);
            assert_eq!(destination(&chain), wanted_destination);
        }
    }

    #[test]
    fn the_type_is_that_of_all_chains_but_the_one_that_leads_nowhere() {
        let chain = |kind: &str, cluster: &str| json!({ "filters": [{ "typed_config": { "@type": format!("type.googleapis.com/x.{kind}"), "cluster": cluster } }] });
        let (http, tcp) = (chain("HttpConnectionManager", ""), chain("TcpProxy", "outbound|1||a"));
        let nowhere = chain("TcpProxy", "BlackHoleCluster");
        let cases = [
            (json!({ "filter_chains": [http, nowhere] }), "HTTP"),
            (json!({ "filter_chains": [tcp] }), "TCP"),
            (json!({ "filter_chains": [http], "default_filter_chain": tcp }), "HTTP+TCP"),
            (json!({ "filter_chains": [nowhere] }), "UNKNOWN"),
        ];
        for (listener, wanted) in cases {
            assert_eq!(kind(&listener), wanted, "{listener}");
        }
    }
}
