//! Fields that are accepted but do nothing yet. One table: the webhook warns by it, `docs/` lists it.

use serde_json::Value;

use crate::Problem;

/// A field, or one value of it, that does nothing.
#[derive(Debug)]
pub struct WithoutEffect {
    /// The kind; `MeshConfig` for `spec.meshConfig` of a MeshInstall.
    pub kind: &'static str,
    /// Path of the field; `[]` stands for each item of a list, `{policy}` for each place of a traffic policy,
    /// `{prefix*}` for keys of a map.
    pub path: &'static str,
    /// The value that does nothing, when others do something.
    pub value: Option<&'static str>,
    /// What happens instead.
    pub instead: &'static str,
}

const fn field(kind: &'static str, path: &'static str, instead: &'static str) -> WithoutEffect {
    WithoutEffect { kind, path, value: None, instead }
}

const fn value(
    kind: &'static str,
    path: &'static str,
    value: &'static str,
    instead: &'static str,
) -> WithoutEffect {
    WithoutEffect { kind, path, value: Some(value), instead }
}

/// The table. `{policy}` stands for each place of a traffic policy, `{@request.auth.claims*}` for keys of a map.
pub const FIELDS_WITHOUT_EFFECT: &[WithoutEffect] = &[
    field(
        "VirtualService",
        "spec.http[].match[].headers{@request.auth.claims*}",
        "tokens are not read, so the condition never holds",
    ),
    field(
        "VirtualService",
        "spec.http[].match[].withoutHeaders{@request.auth.claims*}",
        "tokens are not read, so the condition always holds",
    ),
    field("VirtualService", "spec.tcp[].match[].sourceSubnet", "the condition is passed over, as in Istio"),
    field(
        "DestinationRule",
        "spec.{policy}.loadBalancer.zoneAwareLbSetting",
        "zones have no preference by it",
    ),
    field(
        "DestinationRule",
        "spec.{policy}.outlierDetection.consecutiveErrors",
        "nothing, as in Istio, which replaced it; use consecutive5xxErrors or consecutiveGatewayErrors",
    ),
    field("DestinationRule", "spec.trafficPolicy.tunnel", "connections are not tunnelled"),
    field("DestinationRule", "spec.subsets[].trafficPolicy.tunnel", "connections are not tunnelled"),
    field("Gateway", "spec.servers[].defaultEndpoint", "nothing, as in Istio"),
    value("ServiceEntry", "spec.resolution", "DYNAMIC_DNS", "the hosts are not reachable"),
    field("ServiceEntry", "spec.endpoints[].network", "the endpoint is reached directly"),
    field(
        "Sidecar",
        "spec.ingress[].tls",
        "the port speaks the mesh's mutual TLS, or plain text, as in Istio by default",
    ),
    field("WorkloadEntry", "spec.network", "the workload is reached directly"),
    field("MeshConfig", "proxyHttpPort", "no such listener is opened"),
    field("MeshConfig", "hboneIdleTimeout", "there is no ambient mesh"),
    field("MeshConfig", "configSources", "configuration comes from Kubernetes"),
    field("MeshConfig", "verifyCertificateAtClient", "servers are verified as DestinationRules say"),
    field("MeshConfig", "serviceEntryVisibility", "ServiceEntries are seen as exportTo says"),
    field("MeshConfig", "enableEnvoyAccessLogService", "access logs go to accessLogFile only"),
    field("MeshConfig", "disableEnvoyListenerLog", "connections that no route took are logged"),
    field("MeshConfig", "zoneAwareLbSetting", "zones have no preference by it"),
    field("MeshConfig", "inboundClusterStatName", "statistics keep their names"),
    field("MeshConfig", "outboundClusterStatName", "statistics keep their names"),
    field("MeshConfig", "serviceSettings", "all endpoints of a service are used"),
    field("MeshConfig", "serviceScopeConfigs", "all services are seen"),
    field("MeshConfig", "tlsDefaults", "TLS 1.2 and 1.3 are spoken with the proxy's own choice of suites"),
    field(
        "MeshConfig",
        "extensionProviders",
        "Trysail's proxies use no providers: metrics and access logs only",
    ),
    field(
        "MeshConfig",
        "defaultProviders",
        "Trysail's proxies use no providers: metrics and access logs only",
    ),
    field("MeshConfig", "defaultConfig.tracing", "Trysail's proxies make no spans"),
    field("MeshConfig", "ca", "the control plane itself signs"),
    field("MeshConfig", "caCertificates", "only the mesh's own authorities are trusted"),
    field("MeshConfig", "meshMTLS.ecdhCurves", "the proxy's own choice of curves is used"),
    value("MeshConfig", "outboundTrafficPolicy.mode", "ALLOW_ANY_DYNAMIC_DNS", "it acts as ALLOW_ANY"),
    field("MeshConfig", "defaultConfig.tracingServiceName", "the canonical name is used"),
    field("MeshConfig", "defaultConfig.statsdUdpAddress", "metrics are offered to Prometheus only"),
    field("MeshConfig", "defaultConfig.envoyAccessLogService", "access logs go to accessLogFile only"),
    field("MeshConfig", "defaultConfig.envoyMetricsService", "metrics are offered to Prometheus only"),
    field("MeshConfig", "defaultConfig.runtimeValues", "there is no runtime to set"),
    field("MeshConfig", "defaultConfig.extraStatTags", "metrics have the standard labels"),
    field("MeshConfig", "defaultConfig.caCertificatesPem", "only the mesh's own authorities are trusted"),
    field("MeshConfig", "defaultConfig.proxyHeaders", "headers are as by default"),
    field("MeshConfig", "defaultConfig.privateKeyProvider", "keys are used in memory"),
    field("MeshConfig", "defaultConfig.connectionSettings", "limits are as by default"),
    field("MeshConfig", "defaultConfig.fileFlushInterval", "access logs are written at once"),
    field("MeshConfig", "defaultConfig.fileFlushMinSizeKb", "access logs are written at once"),
    field("MeshConfig", "defaultConfig.statsCompression", "answers to Prometheus are never compressed"),
    field("MeshConfig", "defaultConfig.readinessProbe", "workloads outside of Kubernetes are not probed"),
    field("MeshConfig", "defaultConfig.binaryPath", "the image has one proxy"),
];

/// Where a DestinationRule has traffic policies.
const POLICIES: [&str; 4] = [
    "trafficPolicy",
    "trafficPolicy.portLevelSettings[]",
    "subsets[].trafficPolicy",
    "subsets[].trafficPolicy.portLevelSettings[]",
];

/// The fields of an object that do nothing, each with what happens instead.
pub fn fields_without_effect(kind: &str, object: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    for entry in FIELDS_WITHOUT_EFFECT.iter().filter(|entry| entry.kind == kind) {
        for path in entry.paths() {
            let segments: Vec<&str> = segments(&path).collect();
            visit(object, &segments, String::new(), entry, &mut found);
        }
    }
    if kind == "MeshInstall"
        && let Some(settings) = object.pointer("/spec/meshConfig")
    {
        let settings = fields_without_effect("MeshConfig", settings);
        found.extend(
            settings.into_iter().map(|p| Problem { field: format!("spec.meshConfig.{}", p.field), ..p }),
        );
    }
    found
}

/// Splits a path at its dots, but not at those within braces.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    path.split(move |c| {
        inside = (inside || c == '{') && c != '}';
        c == '.' && !inside
    })
}

fn visit(value: &Value, rest: &[&str], path: String, entry: &WithoutEffect, found: &mut Vec<Problem>) {
    let Some((segment, rest)) = rest.split_first() else {
        if !value.is_null() && entry.value.is_none_or(|only| value == only) {
            found.push(Problem { field: path, message: entry.message() });
        }
        return;
    };
    let name = segment.split(['[', '{']).next().unwrap_or(segment);
    let inner = match value.get(name) {
        None | Some(Value::Null) => return,
        Some(inner) => inner,
    };
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (inner, segment[name.len()..].strip_prefix('{').and_then(|keys| keys.strip_suffix("*}"))) {
        (Value::Object(map), Some(prefix)) => {
            for (key, inner) in map.iter().filter(|(key, _)| key.starts_with(prefix)) {
                visit(inner, rest, format!("{path}[{key}]"), entry, found);
            }
        }
        (Value::Array(items), None) if segment.ends_with("[]") => {
            for (index, item) in items.iter().enumerate() {
                visit(item, rest, format!("{path}[{index}]"), entry, found);
            }
        }
        (inner, None) if !segment.ends_with("[]") => visit(inner, rest, path, entry, found),
        _ => {}
    }
}

impl WithoutEffect {
    /// The path, or one for each place of a traffic policy.
    fn paths(&self) -> Vec<String> {
        if !self.path.contains("{policy}") {
            return vec![self.path.to_owned()];
        }
        POLICIES.iter().map(|place| self.path.replace("{policy}", place)).collect()
    }

    fn message(&self) -> String {
        let subject = self.value.map(|value| format!("{value} ")).unwrap_or_default();
        format!("{subject}has no effect yet: {}", self.instead)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::definition::{DEFINITIONS, schema_of};

    #[test]
    fn every_entry_names_a_field_that_exists_and_appears_once() {
        let mut seen = BTreeSet::new();
        for entry in FIELDS_WITHOUT_EFFECT {
            assert!(seen.insert((entry.kind, entry.path, entry.value)), "{entry:?} is there twice");
            let schema = match entry.kind {
                "MeshConfig" => schema_of::<crate::mesh_config::MeshConfig>(),
                kind => DEFINITIONS.iter().find(|d| d.kind == kind).expect(kind).checked_schema().clone(),
            };
            for path in entry.paths() {
                let found = segments(&path).try_fold(&schema, |schema, segment| {
                    let name = segment.split(['[', '{']).next()?;
                    let field = schema.get("properties")?.get(name)?;
                    match &segment[name.len()..] {
                        "[]" => field.get("items"),
                        "" => Some(field),
                        _ => field.get("additionalProperties"),
                    }
                });
                let field = found.unwrap_or_else(|| panic!("{} has no field {path}", entry.kind));
                if let Some(value) = entry.value {
                    assert!(field["enum"].as_array().unwrap().contains(&json!(value)), "{entry:?}");
                }
            }
        }
    }

    #[test]
    fn each_use_is_named() {
        let object = json!({"spec": {"tcp": [{"match": [{}, {"sourceSubnet": "a"}]}, {"match": [{"sourceSubnet": "b"}]}]}});
        let found = fields_without_effect("VirtualService", &object);
        let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["spec.tcp[0].match[1].sourceSubnet", "spec.tcp[1].match[0].sourceSubnet"]);
        let claim =
            json!({"spec": {"http": [{"match": [{"headers": {"x": {}, "@request.auth.claims.sub": {}}}]}]}});
        let found = fields_without_effect("VirtualService", &claim);
        assert_eq!(found[0].field, "spec.http[0].match[0].headers[@request.auth.claims.sub]");
        let ports = json!({"spec": {"subsets": [{"trafficPolicy": {"portLevelSettings": [{"loadBalancer": {"zoneAwareLbSetting": {}}}]}}]}});
        let found = fields_without_effect("DestinationRule", &ports);
        assert_eq!(
            found[0].field,
            "spec.subsets[0].trafficPolicy.portLevelSettings[0].loadBalancer.zoneAwareLbSetting"
        );
        let install = json!({"spec": {"meshConfig": {"defaultConfig": {"proxyHeaders": {}}}}});
        assert_eq!(
            fields_without_effect("MeshInstall", &install)[0].field,
            "spec.meshConfig.defaultConfig.proxyHeaders"
        );
        let of = |resolution| {
            fields_without_effect("ServiceEntry", &json!({"spec": {"resolution": resolution}})).len()
        };
        assert_eq!((of("DNS"), of("DYNAMIC_DNS")), (0, 1));
    }
}
