//! `/config_dump`: the resources in force, in Envoy's shape. Keys are never shown.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use xds::json::{Spelling, any_to_json};
use xds::names::{parse_virtual_host_resource, type_url};

use super::{Admin, Params, Shared, clusters, parameter, rfc3339};
use crate::subscribe::{Stored, node};

const ADMIN: &str = "type.googleapis.com/envoy.admin.v3";

pub(super) async fn config_dump(State(admin): Shared, Query(params): Params) -> Response {
    let dump = dump(&admin, &params);
    // A dump is rare; what it takes to print one isn't kept until the next.
    xds::json::release();
    dump
}

fn dump(admin: &Admin, params: &[(String, String)]) -> Response {
    let name = match parameter(params, "name_regex").map(regex::Regex::new).transpose() {
        Ok(name) => name,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("name_regex: {error}\n")).into_response(),
    };
    let shown = |resource: &str| name.as_ref().is_none_or(|regex| regex.is_match(resource));
    let mut configs = vec![bootstrap(admin), clusters_dump(admin, &shown)];
    if parameter(params, "include_eds").is_some() {
        configs.push(endpoints_dump(admin, &shown));
    }
    configs.push(listeners_dump(admin, &shown));
    configs.push(routes_dump(admin, &shown));
    configs.push(secrets_dump(admin, &shown));
    if let Some(resource) = parameter(params, "resource") {
        return match only(&configs, resource) {
            Some(entries) => super::json(&json!({ "configs": entries })),
            None => (StatusCode::NOT_FOUND, format!("{resource} is no list of this dump\n")).into_response(),
        };
    }
    super::json(&json!({ "configs": configs }))
}

/// The entries of one list (`dynamic_active_clusters`), each with its type.
fn only(configs: &[Value], list: &str) -> Option<Value> {
    configs.iter().find_map(|section| section.get(list)).cloned()
}

fn section(kind: &str, fields: Value) -> Value {
    let mut section = Map::from_iter([("@type".to_owned(), Value::from(format!("{ADMIN}.{kind}")))]);
    if let Value::Object(fields) = fields {
        section.extend(fields);
    }
    Value::Object(section)
}

fn bootstrap(admin: &Admin) -> Value {
    use prost::Message as _;
    let node = node(&admin.boot.node).encode_to_vec();
    let mut node = any_to_json("type.googleapis.com/envoy.config.core.v3.Node", &node, Spelling::Snake);
    if let Value::Object(fields) = &mut node {
        fields.remove("@type");
    }
    let started = SystemTime::now() - admin.started.elapsed();
    section("BootstrapConfigDump", json!({ "bootstrap": { "node": node }, "last_updated": rfc3339(started) }))
}

fn resource(type_url: &str, stored: &Stored) -> Value {
    any_to_json(type_url, &stored.body, Spelling::Snake)
}

fn clusters_dump(admin: &Admin, shown: &dyn Fn(&str) -> bool) -> Value {
    let held = admin.held.of(type_url::CLUSTER);
    let entry = |stored: &Stored| {
        json!({
            "version_info": stored.version,
            "cluster": resource(type_url::CLUSTER, stored),
            "last_updated": rfc3339(stored.at),
        })
    };
    let all: Vec<_> = held.iter().filter(|(name, _)| shown(name)).map(|(_, stored)| entry(stored)).collect();
    section("ClustersConfigDump", json!({ "dynamic_active_clusters": all }))
}

fn listeners_dump(admin: &Admin, shown: &dyn Fn(&str) -> bool) -> Value {
    let held = admin.held.of(type_url::LISTENER);
    let snapshot = admin.live.load();
    let entry = |name: &Arc<str>, stored: &Stored| {
        let state = json!({
            "version_info": stored.version,
            "listener": resource(type_url::LISTENER, stored),
            "last_updated": rfc3339(stored.at),
        });
        let active = snapshot.listeners.named(name).is_some();
        let mut entry = json!({ "name": name, if active { "active_state" } else { "warming_state" }: state });
        if let Some(refused) = &stored.refused {
            entry["error_state"] = json!({ "details": refused });
        }
        entry
    };
    let all: Vec<_> =
        held.iter().filter(|(name, _)| shown(name)).map(|(name, stored)| entry(name, stored)).collect();
    section("ListenersConfigDump", json!({ "dynamic_listeners": all }))
}

/// Virtual hosts that came one by one are put where Envoy would have had them.
fn routes_dump(admin: &Admin, shown: &dyn Fn(&str) -> bool) -> Value {
    let hosts = admin.held.of(type_url::VIRTUAL_HOST);
    let entry = |name: &str, stored: &Stored| {
        let mut config = resource(type_url::ROUTE, stored);
        let own = hosts.iter().filter_map(|(resource_name, host)| {
            let (route, _) = parse_virtual_host_resource(resource_name).ok()?;
            (route == name).then(|| {
                let mut host = resource(type_url::VIRTUAL_HOST, host);
                if let Value::Object(fields) = &mut host {
                    fields.remove("@type");
                }
                host
            })
        });
        let own: Vec<_> = own.collect();
        if !own.is_empty() {
            config["virtual_hosts"] = Value::Array(own);
        }
        json!({ "version_info": stored.version, "route_config": config, "last_updated": rfc3339(stored.at) })
    };
    let held = admin.held.of(type_url::ROUTE);
    let all: Vec<_> =
        held.iter().filter(|(name, _)| shown(name)).map(|(name, stored)| entry(name, stored)).collect();
    section("RoutesConfigDump", json!({ "dynamic_route_configs": all }))
}

fn secrets_dump(admin: &Admin, shown: &dyn Fn(&str) -> bool) -> Value {
    let encoded = |pem: String| base64::engine::general_purpose::STANDARD.encode(pem);
    let mut all = Vec::new();
    for (name, cert) in admin.secrets.certificates() {
        all.push((
            name.clone(),
            cert.not_before(),
            json!({
                "@type": type_url::SECRET,
                "name": name,
                "tls_certificate": {
                    "certificate_chain": { "inline_bytes": encoded(cert.chain_pem()) },
                    "private_key": { "inline_bytes": encoded("[redacted]".to_owned()) },
                },
            }),
        ));
    }
    for (name, roots) in admin.secrets.all_roots() {
        all.push((
            name.clone(),
            SystemTime::now() - admin.started.elapsed(),
            json!({
                "@type": type_url::SECRET,
                "name": name,
                "validation_context": { "trusted_ca": { "inline_bytes": encoded(roots.to_pem()) } },
            }),
        ));
    }
    let entries: Vec<_> = all
        .into_iter()
        .filter(|(name, ..)| shown(name))
        .map(
            |(name, since, secret)| json!({ "name": name, "last_updated": rfc3339(since), "secret": secret }),
        )
        .collect();
    section("SecretsConfigDump", json!({ "dynamic_active_secrets": entries }))
}

fn endpoints_dump(admin: &Admin, shown: &dyn Fn(&str) -> bool) -> Value {
    let snapshot = admin.live.load();
    let mut clusters: Vec<_> = snapshot.clusters.values().filter(|cluster| shown(&cluster.name)).collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    let entries: Vec<_> = clusters
        .into_iter()
        .filter(|cluster| !cluster.endpoints.is_empty())
        .map(|cluster| json!({ "endpoint_config": clusters::assignment(cluster) }))
        .collect();
    section("EndpointsConfigDump", json!({ "dynamic_endpoint_configs": entries }))
}
