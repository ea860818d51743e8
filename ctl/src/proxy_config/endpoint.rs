//! `proxy-config endpoint`: the addresses behind each cluster and how they fare.

use serde_json::Value;

use super::text;
use crate::table::Columns;

/// What each entry is, by its full name.
pub const MESSAGE: &str = "envoy.admin.v3.ClusterStatus";

/// Which endpoints to show; an absent field shows all.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// The address.
    pub address: Option<&'a str>,
    /// The port.
    pub port: Option<u16>,
    /// The cluster's name.
    pub cluster: Option<&'a str>,
    /// `healthy`, `unhealthy`, ...
    pub status: Option<&'a str>,
}

/// One line of the table.
struct Row<'a> {
    endpoint: String,
    status: &'a str,
    ejected: bool,
    cluster: &'a str,
}

fn row<'a>(cluster: &'a Value, host: &'a Value, filter: &Filter<'_>) -> Option<Row<'a>> {
    let address = text(host, "/address/socket_address/address");
    let port = host.pointer("/address/socket_address/port_value").and_then(Value::as_u64).unwrap_or(0);
    let status = match text(host, "/health_status/eds_health_status") {
        "" => "UNKNOWN",
        status => status,
    };
    let name = text(cluster, "/name");
    let shown = filter.address.is_none_or(|wanted| wanted == address)
        && filter.port.is_none_or(|wanted| u64::from(wanted) == port)
        && filter.cluster.is_none_or(|wanted| wanted == name)
        && filter.status.is_none_or(|wanted| wanted.eq_ignore_ascii_case(status));
    let endpoint = match text(host, "/address/pipe/path") {
        "" => format!("{address}:{port}"),
        path => format!("unix://{path}"),
    };
    let ejected = host.pointer("/health_status/failed_outlier_check").and_then(Value::as_bool) == Some(true);
    shown.then_some(Row { endpoint, status, ejected, cluster: name })
}

/// The clusters that have an endpoint which passes the filter, as the proxy gave them.
pub fn select<'a>(clusters: &'a Value, filter: &Filter<'_>) -> Vec<&'a Value> {
    let all = clusters.get("cluster_statuses").and_then(Value::as_array).into_iter().flatten();
    all.filter(|cluster| hosts(cluster).any(|host| row(cluster, host, filter).is_some())).collect()
}

fn hosts(cluster: &Value) -> impl Iterator<Item = &Value> {
    cluster.get("host_statuses").and_then(Value::as_array).into_iter().flatten()
}

/// The table.
pub fn table(clusters: &[&Value], filter: &Filter<'_>) -> Columns {
    let mut rows: Vec<_> = clusters
        .iter()
        .flat_map(|cluster| hosts(cluster).filter_map(|host| row(cluster, host, filter)))
        .collect();
    rows.sort_by(|one, other| (&one.endpoint, one.cluster).cmp(&(&other.endpoint, other.cluster)));
    let mut columns = Columns::new(&["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]);
    for row in rows {
        columns.row(&[&row.endpoint, row.status, if row.ejected { "FAILED" } else { "OK" }, row.cluster]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ejected_endpoint_fails_its_outlier_check() {
        let clusters = json!({ "cluster_statuses": [{
            "name": "outbound|80||web.default.svc.cluster.local",
            "host_statuses": [{
                "address": { "socket_address": { "address": "10.1.0.1", "port_value": 8080 } },
                "health_status": { "eds_health_status": "HEALTHY", "failed_outlier_check": true },
            }],
        }] });
        let filter = Filter::default();
        let table = table(&select(&clusters, &filter), &filter).to_string();
        let cells: Vec<_> = table.lines().nth(1).into_iter().flat_map(str::split_whitespace).collect();
        assert_eq!(
            cells,
            ["10.1.0.1:8080", "HEALTHY", "FAILED", "outbound|80||web.default.svc.cluster.local"]
        );
    }
}
