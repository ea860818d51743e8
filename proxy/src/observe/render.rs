//! Istio's metrics as Prometheus reads them.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use super::{
    Observe,
    log::Writers,
    series::{BOUNDS, HistogramTotal, Shard},
};

/// The requests of one set of labels, over all workers.
#[derive(Debug, Default)]
struct Requests {
    grpc: bool,
    count: u64,
    duration: HistogramTotal,
    request_bytes: HistogramTotal,
    response_bytes: HistogramTotal,
    request_messages: u64,
    response_messages: u64,
}

/// The connections of one set of labels, over all workers.
#[derive(Debug, Default)]
struct Connections {
    sent: u64,
    received: u64,
    opened: u64,
    closed: u64,
}

/// Writes `istio_*`.
pub(super) fn istio(observe: &Observe, shards: &[Arc<Shard>], out: &mut String) {
    let version = match &*observe.local.version {
        "" => "unknown",
        version => version,
    };
    let _ = writeln!(out, "# TYPE istio_build gauge\nistio_build{{component=\"proxy\",tag=\"{version}\"}} 1");
    requests(&sum_requests(shards), out);
    connections(&sum_connections(shards), out);
    let overflow: u64 = shards.iter().map(|shard| shard.overflow.get()).sum();
    let _ = writeln!(
        out,
        "# TYPE trysail_metrics_series_overflow_total counter\ntrysail_metrics_series_overflow_total {overflow}"
    );
}

fn sum_requests(shards: &[Arc<Shard>]) -> BTreeMap<Arc<str>, Requests> {
    let mut sums: BTreeMap<Arc<str>, Requests> = BTreeMap::new();
    for shard in shards {
        for series in &*shard.requests.lock() {
            let sum = sums.entry(series.labels.clone()).or_default();
            sum.grpc |= series.grpc;
            sum.count += series.requests.get();
            sum.request_messages += series.request_messages.get();
            sum.response_messages += series.response_messages.get();
            series.duration.add_to(&mut sum.duration);
            series.request_bytes.add_to(&mut sum.request_bytes);
            series.response_bytes.add_to(&mut sum.response_bytes);
        }
    }
    sums
}

fn sum_connections(shards: &[Arc<Shard>]) -> BTreeMap<Arc<str>, Connections> {
    let mut sums: BTreeMap<Arc<str>, Connections> = BTreeMap::new();
    for shard in shards {
        for series in &*shard.tcp.lock() {
            let sum = sums.entry(series.labels.clone()).or_default();
            sum.sent += series.sent.get();
            sum.received += series.received.get();
            sum.opened += series.opened.get();
            sum.closed += series.closed.get();
        }
    }
    sums
}

fn requests(sums: &BTreeMap<Arc<str>, Requests>, out: &mut String) {
    let all = || sums.iter().map(|(labels, sum)| (&**labels, sum));
    counters("istio_requests_total", all().map(|(labels, sum)| (labels, sum.count)), out);
    let grpc = || all().filter(|(_, sum)| sum.grpc);
    counters("istio_request_messages_total", grpc().map(|(labels, sum)| (labels, sum.request_messages)), out);
    counters(
        "istio_response_messages_total",
        grpc().map(|(labels, sum)| (labels, sum.response_messages)),
        out,
    );
    let duration = all().map(|(labels, sum)| (labels, &sum.duration));
    histograms("istio_request_duration_milliseconds", duration, out);
    histograms("istio_request_bytes", all().map(|(labels, sum)| (labels, &sum.request_bytes)), out);
    histograms("istio_response_bytes", all().map(|(labels, sum)| (labels, &sum.response_bytes)), out);
}

fn connections(sums: &BTreeMap<Arc<str>, Connections>, out: &mut String) {
    let all = || sums.iter().map(|(labels, sum)| (&**labels, sum));
    counters("istio_tcp_sent_bytes_total", all().map(|(labels, sum)| (labels, sum.sent)), out);
    counters("istio_tcp_received_bytes_total", all().map(|(labels, sum)| (labels, sum.received)), out);
    counters("istio_tcp_connections_opened_total", all().map(|(labels, sum)| (labels, sum.opened)), out);
    counters("istio_tcp_connections_closed_total", all().map(|(labels, sum)| (labels, sum.closed)), out);
}

fn counters<'a>(name: &str, lines: impl Iterator<Item = (&'a str, u64)>, out: &mut String) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(out, "# TYPE {name} counter");
    }
    for (labels, value) in lines {
        let _ = writeln!(out, "{name}{{{labels}}} {value}");
    }
}

fn histograms<'a>(name: &str, lines: impl Iterator<Item = (&'a str, &'a HistogramTotal)>, out: &mut String) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(out, "# TYPE {name} histogram");
    }
    for (labels, total) in lines {
        let mut count = 0;
        for (index, bucket) in total.buckets.iter().enumerate() {
            count += bucket;
            match BOUNDS.get(index) {
                Some(bound) => {
                    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
                }
                None => {
                    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
                }
            }
        }
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {count}", total.sum);
    }
}

/// Writes what has no counterpart in Istio.
pub(super) fn own(writers: &Writers, out: &mut String) {
    let (written, dropped) = writers.lines();
    let _ = writeln!(
        out,
        "# TYPE trysail_access_log_lines_total counter\ntrysail_access_log_lines_total {written}\n\
         # TYPE trysail_access_log_dropped_lines_total counter\ntrysail_access_log_dropped_lines_total {dropped}"
    );
}
