//! `proxy-config cluster`: the services a proxy knows.

use serde_json::Value;
use xds::names::ClusterName;

use super::{origin, resources, text};
use crate::table::Columns;

/// Which clusters to show; an absent field shows all.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Part of the service's full name.
    pub fqdn: Option<&'a str>,
    /// The service's port.
    pub port: Option<u16>,
    /// Part of the subset's name.
    pub subset: Option<&'a str>,
    /// `inbound` or `outbound`.
    pub direction: Option<&'a str>,
}

/// The columns that a cluster's name gives; a name without parts is its own service name.
struct Name<'a> {
    direction: &'a str,
    port: Option<u16>,
    subset: &'a str,
    fqdn: &'a str,
}

impl<'a> Name<'a> {
    fn of(cluster: &'a Value) -> Self {
        let name = text(cluster, "/name");
        match ClusterName::parse(name) {
            Ok(ClusterName { direction, port, subset, host }) => Self {
                direction: direction.as_str(),
                port: Some(port),
                subset: if subset.is_empty() { "-" } else { subset },
                fqdn: host,
            },
            Err(_) => Self { direction: "-", port: None, subset: "-", fqdn: name },
        }
    }
}

impl Filter<'_> {
    fn matches(&self, name: &Name<'_>) -> bool {
        self.fqdn.is_none_or(|fqdn| name.fqdn.to_lowercase().contains(&fqdn.to_lowercase()))
            && self.port.is_none_or(|port| name.port == Some(port))
            && self.subset.is_none_or(|subset| name.subset.contains(subset))
            && self.direction.is_none_or(|direction| direction.eq_ignore_ascii_case(name.direction))
    }
}

/// The clusters that pass the filter, by service name, subset and port.
pub fn select<'a>(dump: &'a Value, filter: &Filter<'_>) -> Vec<&'a Value> {
    let lists = [("dynamic_active_clusters", "/cluster"), ("static_clusters", "/cluster")];
    let mut clusters = resources(dump, "ClustersConfigDump", &lists);
    clusters.retain(|cluster| filter.matches(&Name::of(cluster)));
    clusters.sort_by_key(|cluster| {
        let name = Name::of(cluster);
        (name.fqdn, name.subset, name.port, name.direction)
    });
    clusters
}

/// The table.
pub fn table(clusters: &[&Value]) -> Columns {
    let mut columns =
        Columns::new(&["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]);
    for cluster in clusters {
        let name = Name::of(cluster);
        let kind = match text(cluster, "/type") {
            "" if cluster.get("cluster_type").is_some() => text(cluster, "/cluster_type/name"),
            "" => "STATIC",
            kind => kind,
        };
        let port = name.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
        columns.row(&[name.fqdn, &port, name.subset, name.direction, kind, &origin(cluster)]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clusters_are_split_into_columns_and_filtered() {
        let dump = json!({ "configs": [{
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "dynamic_active_clusters": [
                { "cluster": { "name": "outbound|9080|v1|reviews.default.svc.cluster.local", "type": "EDS" } },
                { "cluster": { "name": "PassthroughCluster", "type": "ORIGINAL_DST" } },
            ],
        }] });
        let all = table(&select(&dump, &Filter::default())).to_string();
        assert!(all.contains("PassthroughCluster"), "{all}");
        let v1 = select(&dump, &Filter { subset: Some("v1"), fqdn: Some("reviews"), ..Filter::default() });
        let row = table(&v1).to_string();
        let cells: Vec<_> = row.lines().nth(1).into_iter().flat_map(str::split_whitespace).collect();
        assert_eq!(cells, ["reviews.default.svc.cluster.local", "9080", "v1", "outbound", "EDS"]);
    }
}
