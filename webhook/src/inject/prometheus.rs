//! Metrics of the application are offered with the proxy's: `prometheus.io/*` annotations point at the proxy, which
//! learns from environment variable `ISTIO_PROMETHEUS_ANNOTATIONS` where the application has its own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::{
    InjectError,
    annotations::parse_bool,
    environment,
    names::{self, PROMETHEUS_ANNOTATIONS, annotations_mut},
    settings::Settings,
};

/// Ports that belong to the proxy: asking them for the application's metrics would go in circles or find nothing.
const RESERVED: [i32; 8] = [15000, 15001, 15004, 15006, 15008, 15021, 15053, 15090];
const PATH: &str = "/stats/prometheus";

/// Where the application has its metrics.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Scrape {
    #[serde(rename = "scrape")]
    wanted: String,
    path: String,
    port: String,
}

/// The part of an annotation that Prometheus sees: to it, `prometheus.io/port` and `prometheus-io/port` are one.
fn key(annotation: &str) -> Option<&'static str> {
    let name: String = annotation.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    ["scrape", "path", "port"].into_iter().find(|key| name.strip_prefix("prometheus_io_") == Some(key))
}

impl Scrape {
    fn take(annotations: &mut BTreeMap<String, String>) -> Self {
        let mut scrape = Self::default();
        annotations.retain(|name, value| match key(name) {
            Some("scrape") => {
                scrape.wanted.clone_from(value);
                false
            }
            Some("path") => {
                scrape.path.clone_from(value);
                false
            }
            Some(_) => {
                scrape.port.clone_from(value);
                false
            }
            None => true,
        });
        scrape
    }

    fn put(self, annotations: &mut BTreeMap<String, String>) {
        for (key, value) in [("scrape", self.wanted), ("path", self.path), ("port", self.port)] {
            if !value.is_empty() {
                annotations.insert(format!("prometheus.io/{key}"), value);
            }
        }
    }
}

/// Points Prometheus at the proxy, unless mesh or pod don't want it.
pub(super) fn merge(pod: &mut Pod, settings: &Settings<'_>) -> Result<(), InjectError> {
    let wanted = settings
        .annotation(names::MERGE_METRICS)
        .and_then(parse_bool)
        .unwrap_or_else(|| settings.mesh.prometheus_merge());
    let refused = pod
        .metadata
        .annotations
        .iter()
        .flatten()
        .any(|(name, value)| key(name) == Some("scrape") && parse_bool(value) == Some(false));
    if !wanted || refused || settings.status_port == 0 || names::proxy_mut(pod).is_none() {
        return Ok(());
    }
    let mut own = Scrape::take(annotations_mut(pod));
    let port = settings.status_port.to_string();
    if own.port == port {
        // Already points at the proxy.
        own = Scrape::default();
    }
    check(&own, settings)?;
    if own != Scrape::default() {
        let text = serde_json::to_string(&own).unwrap_or_default();
        if let Some(proxy) = names::proxy_mut(pod) {
            proxy.env.get_or_insert_default().push(environment::value(PROMETHEUS_ANNOTATIONS, &text));
        }
    }
    Scrape { wanted: "true".to_owned(), path: PATH.to_owned(), port }.put(annotations_mut(pod));
    Ok(())
}

fn check(scrape: &Scrape, settings: &Settings<'_>) -> Result<(), InjectError> {
    let refuse = |problem: &str| InjectError::Annotation {
        pod: settings.pod.clone(),
        annotation: "prometheus.io/port".to_owned(),
        value: scrape.port.clone(),
        problem: problem.to_owned(),
    };
    match scrape.port.parse::<u16>() {
        _ if scrape.port.is_empty() => Ok(()),
        Ok(port) if port > 0 && !RESERVED.contains(&port.into()) => Ok(()),
        Ok(0) | Err(_) => Err(refuse("is no port; write the number of the application's metrics port")),
        Ok(_) => Err(refuse("is a port of the proxy; write the number of the application's metrics port")),
    }
}

/// Gives the pod its own annotations back, as an earlier injection remembers them.
pub(super) fn restore(pod: &mut Pod, remembered: Option<&str>) {
    let annotations = annotations_mut(pod);
    let ours = annotations.iter().any(|(name, value)| key(name) == Some("path") && value == PATH);
    if ours {
        Scrape::take(annotations);
        let own: Scrape = remembered.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        own.put(annotations);
    }
}
