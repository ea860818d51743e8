//! All metrics of the process in Prometheus' text format: the data plane's, and those of the control thread.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::dns::Counters;
use crate::identity::{Health, Secrets};
use crate::observe::Observe;
use crate::snapshot::Live;
use crate::subscribe::Progress;

/// Where metrics come from. Those of certificates and configuration have the names of Istio's agent and of Envoy.
#[derive(Debug)]
pub struct OwnMetrics {
    /// What the workers count.
    pub observe: Arc<Observe>,
    /// The configuration in force, which names the clusters.
    pub live: Arc<Live>,
    /// How renewal is going.
    pub identity: Arc<Health>,
    /// Certificates and when they end.
    pub secrets: Arc<Secrets>,
    /// How the subscription is going.
    pub progress: Arc<Progress>,
    /// How the app's questions for names are going, if they come to us.
    pub names: Option<Arc<Counters>>,
    /// When the process started.
    pub started: Instant,
}

impl OwnMetrics {
    /// Everything.
    pub fn prometheus(&self) -> String {
        let mut out = String::new();
        self.observe.render(&self.live, &mut out);
        self.identity(&mut out);
        self.configuration(&mut out);
        if let Some(counters) = &self.names {
            names(counters, &mut out);
        }
        metric(
            &mut out,
            "envoy_server_uptime",
            "gauge",
            "Seconds since the proxy started.",
            &[(String::new(), self.started.elapsed().as_secs_f64().floor())],
        );
        out
    }

    fn identity(&self, out: &mut String) {
        let report = self.identity.report();
        let now = SystemTime::now();
        let left = |end: SystemTime| match end.duration_since(now) {
            Ok(left) => left.as_secs_f64().floor(),
            Err(past) => -past.duration().as_secs_f64().ceil(),
        };
        let ends = self.secrets.certificates();
        let expiry: Vec<_> = ends
            .iter()
            .map(|(name, cert)| (format!("resource_name=\"{}\"", escaped(name)), left(cert.not_after())))
            .collect();
        metric(
            out,
            "istio_agent_cert_expiry_seconds",
            "gauge",
            "Seconds until the certificate ends; negative once it has.",
            &expiry,
        );
        let days =
            expiry.iter().map(|(_, seconds)| (seconds / 86_400.0).floor()).fold(f64::INFINITY, f64::min);
        if days.is_finite() {
            metric(
                out,
                "envoy_server_days_until_first_cert_expiring",
                "gauge",
                "Days until the first certificate ends.",
                &[(String::new(), days)],
            );
        }
        metric(
            out,
            "istio_agent_num_outgoing_requests",
            "counter",
            "Certificate requests by result.",
            &[
                ("request_type=\"csr\",result=\"success\"".to_owned(), report.obtained as f64),
                ("request_type=\"csr\",result=\"failure\"".to_owned(), report.failures as f64),
            ],
        );
    }

    fn configuration(&self, out: &mut String) {
        let report = self.progress.report();
        metric(
            out,
            "envoy_control_plane_connected_state",
            "gauge",
            "1 while the configuration stream is open.",
            &[(String::new(), f64::from(u8::from(report.connected)))],
        );
        // Istio's dashboards count connected proxies by this.
        metric(
            out,
            "envoy_cluster_upstream_cx_active",
            "gauge",
            "Connections to the control plane.",
            &[("cluster_name=\"xds-grpc\"".to_owned(), f64::from(u8::from(report.connected)))],
        );
        metric(
            out,
            "istio_agent_pilot_xds_connects",
            "counter",
            "Configuration streams by result.",
            &[
                ("result=\"success\"".to_owned(), report.streams as f64),
                ("result=\"failure\"".to_owned(), report.failures as f64),
            ],
        );
        let of = |get: fn(&crate::subscribe::Counters) -> u64| -> Vec<(String, f64)> {
            report.types.iter().map(|(kind, one)| (format!("type=\"{kind}\""), get(one) as f64)).collect()
        };
        metric(
            out,
            "istio_agent_xds_proxy_responses",
            "counter",
            "Responses by resource type.",
            &of(|c| c.responses),
        );
        metric(
            out,
            "trysail_xds_resources_applied",
            "counter",
            "Resources put in force.",
            &of(|c| c.applied),
        );
        metric(
            out,
            "trysail_xds_resources_rejected",
            "counter",
            "Resources refused (NACK).",
            &of(|c| c.refused),
        );
    }
}

fn names(counters: &Counters, out: &mut String) {
    let alone = |count: u64| [(String::new(), count as f64)];
    let requests = alone(counters.requests());
    metric(out, "istio_agent_dns_requests_total", "counter", "Questions for names.", &requests);
    let forwarded = alone(counters.forwarded());
    let help = "Questions for names that were passed on to nameservers.";
    metric(out, "istio_agent_dns_upstream_requests_total", "counter", help, &forwarded);
    let failures = alone(counters.failures());
    let help = "Questions for names that no nameserver answered.";
    metric(out, "istio_agent_dns_upstream_failures_total", "counter", help, &failures);
    let durations = counters.durations();
    let name = "istio_agent_dns_upstream_request_duration_seconds";
    let _ = writeln!(out, "# HELP {name} How long nameservers took.\n# TYPE {name} histogram");
    for (bound, count) in durations.buckets {
        let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let count = counters.forwarded();
    let _ = writeln!(
        out,
        "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {}\n{name}_count {count}",
        durations.sum
    );
}

/// One metric with all of its values.
fn metric(out: &mut String, name: &str, kind: &str, help: &str, values: &[(String, f64)]) {
    if values.is_empty() {
        return;
    }
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in values {
        let _ = match labels.as_str() {
            "" => writeln!(out, "{name} {value}"),
            labels => writeln!(out, "{name}{{{labels}}} {value}"),
        };
    }
}

/// A label's value as the text format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
