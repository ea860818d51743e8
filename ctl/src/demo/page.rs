//! The page of text: everything that a newcomer wants to see once.

use std::{collections::BTreeMap, fmt};

use super::metrics::Sample;
use super::traffic::{PAGES, Seen};

/// What was seen.
#[derive(Debug)]
pub struct Page {
    /// Where it all runs, in a sentence.
    pub place: String,
    /// The pods, as a table.
    pub pods: String,
    /// `istio_requests_total` of every proxy.
    pub samples: Vec<Sample>,
    /// What the gateway answered.
    pub seen: Seen,
    /// Commands to try.
    pub next: Vec<String>,
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "TRYSAIL DEMO\n\n{}\n", self.place)?;
        for line in self.pods.lines() {
            writeln!(f, "  {line}")?;
        }
        writeln!(
            f,
            "\nWho called whom since the pods started, with the identities that both ends proved by certificate:\n"
        )?;
        for ((from, to, security), requests) in hops(&self.samples) {
            writeln!(f, "  {from}\n    -> {to}   {requests} requests, {security}")?;
        }
        writeln!(
            f,
            "\nReviews, split 90/10 between v1 and v3 (samples/bookinfo/split-90-10.yaml), on {PAGES} pages:\n"
        )?;
        for (version, count) in &self.seen.split {
            writeln!(f, "  {version}  {count:4}   {:.1} %", *count as f64 * 100.0 / PAGES as f64)?;
        }
        let (address, status) = &self.seen.unrouted;
        writeln!(f, "\nA path that no rule names:\n\n  GET {address} -> {status}")?;
        writeln!(f, "\nRequest metrics, as Prometheus finds them at each pod's port 15020:\n")?;
        for line in some_metrics(&self.samples) {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nTry next:\n")?;
        for line in &self.next {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// From, to and how it was secured, with the number of requests, as the receivers counted them.
fn hops(samples: &[Sample]) -> BTreeMap<(String, String, String), u64> {
    let mut hops = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.label("reporter") == "destination") {
        let label = |name: &str| sample.label(name).to_owned();
        let hop =
            (label("source_principal"), label("destination_principal"), label("connection_security_policy"));
        *hops.entry(hop).or_default() += sample.value as u64;
    }
    hops
}

fn some_metrics(samples: &[Sample]) -> Vec<String> {
    const SHOWN: [&str; 6] = [
        "reporter",
        "source_workload",
        "destination_workload",
        "destination_service_name",
        "response_code",
        "connection_security_policy",
    ];
    let reviews = samples.iter().filter(|sample| sample.label("destination_service_name") == "reviews");
    let line = |sample: &Sample| {
        let labels: Vec<_> = SHOWN.iter().map(|name| format!("{name}=\"{}\"", sample.label(name))).collect();
        format!("istio_requests_total{{{},...}} {}", labels.join(","), sample.value)
    };
    reviews.take(4).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::metrics;
    use super::*;

    #[test]
    fn the_page_shows_identities_split_and_metrics() {
        let text = "istio_requests_total{reporter=\"destination\",source_principal=\"spiffe://a\",\
            destination_principal=\"spiffe://b\",connection_security_policy=\"mutual_tls\",\
            destination_service_name=\"reviews\",response_code=\"200\"} 300\n";
        let page = Page {
            place: "Bookinfo runs here:".to_owned(),
            pods: "details-v1 2/2".to_owned(),
            samples: metrics::requests(text).collect(),
            seen: Seen {
                split: [("v1".to_owned(), 273), ("v3".to_owned(), 27)].into(),
                reviewers: ["reviews-v1-5c8f".to_owned()].into(),
                unrouted: ("http://10.0.0.1/inventory".to_owned(), 404),
            },
            next: vec!["trysailctl demo --remove".to_owned()],
        };
        let page = page.to_string();
        for part in
            ["spiffe://a\n    -> spiffe://b   300 requests, mutual_tls", "v3    27   9.0 %", "-> 404", "2/2"]
        {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
