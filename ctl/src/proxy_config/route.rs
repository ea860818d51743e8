//! `proxy-config route`: virtual hosts, what their routes match, and which VirtualService they come from.

use serde_json::Value;

use super::{origin, resources, strings, text};
use crate::table::Columns;

/// The route configurations, all or the one called `name`, numbered ones by number.
pub fn select<'a>(dump: &'a Value, name: Option<&str>) -> Vec<&'a Value> {
    let lists = [("dynamic_route_configs", "/route_config"), ("static_route_configs", "/route_config")];
    let mut routes = resources(dump, "RoutesConfigDump", &lists);
    routes.retain(|route| name.is_none_or(|name| text(route, "/name") == name));
    routes.sort_by_key(|route| {
        let name = text(route, "/name");
        (name.parse::<u32>().unwrap_or(u32::MAX), name)
    });
    routes
}

/// The table: a row for each route of each virtual host.
pub fn table(routes: &[&Value]) -> Columns {
    let mut columns = Columns::new(&["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"]);
    for configuration in routes {
        let name = text(configuration, "/name");
        let hosts = configuration.get("virtual_hosts").and_then(Value::as_array).into_iter().flatten();
        for host in hosts {
            let (host_name, domains) = (text(host, "/name"), domains(&strings(host, "/domains")));
            let rules = host.get("routes").and_then(Value::as_array).into_iter().flatten();
            let mut rules =
                rules.filter(|rule| text(rule, "/route/cluster") != "PassthroughCluster").peekable();
            if rules.peek().is_none() && host.get("routes").is_none_or(|rules| rules == &Value::Array(vec![]))
            {
                columns.row(&[name, host_name, &domains, "/*", "404"]);
            }
            for rule in rules {
                columns.row(&[name, host_name, &domains, &criteria(rule), &origin(rule)]);
            }
        }
    }
    columns
}

/// The shortest of many: names without a port, those that are only longer forms of another left out, two at the most.
fn domains(all: &[&str]) -> String {
    if let [only] = all {
        return (*only).to_owned();
    }
    let names: Vec<_> =
        all.iter().copied().filter(|domain| !domain.contains(':') || domain.ends_with(']')).collect();
    let longer = |name: &str| {
        [".svc.cluster.local", ".svc"]
            .iter()
            .any(|end| name.strip_suffix(end).is_some_and(|short| names.contains(&short)))
    };
    let short: Vec<_> = names.iter().copied().filter(|name| !longer(name)).collect();
    match short.split_at_checked(2) {
        Some((first, rest)) if !rest.is_empty() => format!("{} + {} more...", first.join(", "), rest.len()),
        _ => short.join(", "),
    }
}

fn criteria(rule: &Value) -> String {
    let mut parts = Vec::new();
    for (field, suffix) in
        [("/match/prefix", "*"), ("/match/path", ""), ("/match/path_separated_prefix", "*")]
    {
        let value = text(rule, field);
        if !value.is_empty() {
            parts.push(format!("{value}{suffix}"));
        }
    }
    let regex = text(rule, "/match/safe_regex/regex");
    if !regex.is_empty() {
        parts.push(format!("regex {regex}"));
    }
    let headers = rule.pointer("/match/headers").and_then(Value::as_array).map_or(0, Vec::len);
    if headers > 0 {
        parts.push(format!("{headers} header{}", if headers == 1 { "" } else { "s" }));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_short_forms_of_a_service_name_are_shown() {
        let all = [
            "reviews.default.svc.cluster.local",
            "reviews",
            "reviews:9080",
            "reviews.default.svc",
            "reviews.default",
            "10.96.0.9",
        ];
        assert_eq!(domains(&all), "reviews, reviews.default + 1 more...");
    }

    #[test]
    fn a_virtual_host_without_routes_answers_404() {
        let routes =
            json!({ "name": "9080", "virtual_hosts": [{ "name": "v", "domains": ["a"], "routes": [] }] });
        let table = table(&[&routes]).to_string();
        assert!(table.lines().nth(1).is_some_and(|line| line.ends_with("404")), "{table}");
    }
}
