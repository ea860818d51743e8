//! Volumes of the proxy: its token, the mesh's root certificate, what it is told about its pod, and room to work in.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    ObjectFieldSelector, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use serde_json::{Map, Value};

use super::{names, settings::Settings};

/// Seconds until the token expires; the kubelet renews it earlier.
const TOKEN_SECONDS: i64 = 43_200;

/// Volume names and where the proxy has them.
const MOUNTS: [(&str, &str); 8] = [
    ("workload-socket", "/var/run/secrets/workload-spiffe-uds"),
    ("credential-socket", "/var/run/secrets/credential-uds"),
    ("workload-certs", "/var/run/secrets/workload-spiffe-credentials"),
    ("istiod-ca-cert", "/var/run/secrets/istio"),
    ("istio-data", "/var/lib/istio/data"),
    ("istio-envoy", "/etc/istio/proxy"),
    ("istio-token", "/var/run/secrets/tokens"),
    ("istio-podinfo", "/etc/istio/pod"),
];

/// Mounts of the proxy, the pod's own (annotation `userVolumeMount`) behind them.
pub(super) fn mounts(settings: &Settings<'_>) -> Vec<VolumeMount> {
    let mount = |(name, path): (&str, &str)| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..Default::default()
    };
    let own =
        json_map(settings.annotation(names::USER_VOLUME_MOUNT)).into_iter().filter_map(|(name, fields)| {
            let mut mount: VolumeMount = serde_json::from_value(with_name(&name, fields)).ok()?;
            mount.name = name;
            Some(mount)
        });
    MOUNTS.into_iter().map(mount).chain(own).collect()
}

/// Volumes for [`mounts`], the pod's own (annotation `userVolume`) behind them.
pub(super) fn volumes(settings: &Settings<'_>) -> Vec<Volume> {
    let global = &settings.values.global;
    let own = json_map(settings.annotation(names::USER_VOLUME))
        .into_iter()
        .filter_map(|(name, fields)| serde_json::from_value(with_name(&name, fields)).ok());
    let standard = vec![
        empty("workload-socket", None),
        empty("credential-socket", None),
        empty("workload-certs", None),
        empty("istio-envoy", Some("Memory")),
        empty("istio-data", None),
        pod_info(),
        token(&global.sds.token.aud),
        root_certificate(&global.trust_bundle_name),
    ];
    standard.into_iter().chain(own).collect()
}

fn empty(name: &str, medium: Option<&str>) -> Volume {
    let source = EmptyDirVolumeSource { medium: medium.map(str::to_owned), size_limit: None };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Default::default() }
}

fn pod_info() -> Volume {
    let file = |path: &str| DownwardAPIVolumeFile {
        path: path.to_owned(),
        field_ref: Some(ObjectFieldSelector { field_path: format!("metadata.{path}"), api_version: None }),
        ..Default::default()
    };
    let items = vec![file("labels"), file("annotations")];
    let source = DownwardAPIVolumeSource { items: Some(items), default_mode: None };
    Volume { name: "istio-podinfo".to_owned(), downward_api: Some(source), ..Default::default() }
}

fn token(audience: &str) -> Volume {
    let token = ServiceAccountTokenProjection {
        path: "istio-token".to_owned(),
        expiration_seconds: Some(TOKEN_SECONDS),
        audience: Some(audience.to_owned()),
    };
    let sources = vec![VolumeProjection { service_account_token: Some(token), ..Default::default() }];
    let source = ProjectedVolumeSource { sources: Some(sources), default_mode: None };
    Volume { name: "istio-token".to_owned(), projected: Some(source), ..Default::default() }
}

fn root_certificate(config_map: &str) -> Volume {
    let source = ConfigMapVolumeSource { name: config_map.to_owned(), ..Default::default() };
    Volume { name: "istiod-ca-cert".to_owned(), config_map: Some(source), ..Default::default() }
}

/// Checks the annotations that hold JSON, so that [`mounts`] and [`volumes`] can rely on them.
pub(super) fn check(annotation: &str, text: &str) -> Result<(), String> {
    let example = r#"write a map of names, such as {"my-volume": {"emptyDir": {}}}"#;
    let fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("is no JSON ({error}); {example}"))?;
    for (name, value) in fields {
        let value = with_name(&name, value);
        let parsed = if annotation == names::USER_VOLUME {
            serde_json::from_value::<Volume>(value).map(drop)
        } else {
            serde_json::from_value::<VolumeMount>(value).map(drop)
        };
        parsed.map_err(|error| format!("can't be used: {name}: {error}"))?;
    }
    Ok(())
}

fn json_map(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn with_name(name: &str, fields: Value) -> Value {
    match fields {
        Value::Object(mut fields) => {
            fields.insert("name".to_owned(), Value::String(name.to_owned()));
            Value::Object(fields)
        }
        other => other,
    }
}
