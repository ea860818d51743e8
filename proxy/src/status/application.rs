//! The application's own metrics, fetched and appended to ours: `ISTIO_PROMETHEUS_ANNOTATIONS`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Uri, header};
use serde::Deserialize;

use super::client::{ClientError, Limit, get};

/// The most that one of the application's endpoints may answer.
const MAX_BODY: usize = 10 << 20;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Ports of ours: scraping them would go in circles or count twice.
const OWN_PORTS: [u16; 9] = [15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090];

/// Why the annotations can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScrapeError {
    /// Not the expected JSON.
    #[error(
        "ISTIO_PROMETHEUS_ANNOTATIONS: {0}; write for example {{\"scrape\":\"true\",\"path\":\"/metrics\",\"port\":\"9090\"}}"
    )]
    Json(String),
    /// Not a port, or one of ours.
    #[error(
        "ISTIO_PROMETHEUS_ANNOTATIONS: port {0:?} can't be scraped: it must be a number from 1 to 65535 and not one of the proxy's own; correct the annotation prometheus.io/port"
    )]
    Port(String),
}

/// The endpoints to fetch.
#[derive(Debug, PartialEq, Eq)]
pub struct Scrape {
    targets: Vec<(SocketAddr, String)>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(default)]
    scrape: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    port: String,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    port: String,
    #[serde(default)]
    path: String,
}

impl Scrape {
    /// From the variable as found; none where nothing is to be scraped.
    pub fn parse(text: Option<&str>) -> Result<Option<Self>, ScrapeError> {
        let Some(text) = text else { return Ok(None) };
        let parsed: Annotations =
            serde_json::from_str(text).map_err(|error| ScrapeError::Json(error.to_string()))?;
        if parsed.scrape == "false" {
            return Ok(None);
        }
        let mut targets = parsed.targets;
        if targets.is_empty() {
            let port = if parsed.port.is_empty() { "80".to_owned() } else { parsed.port };
            targets.push(Target { port, path: parsed.path });
        }
        let target = |target: Target| {
            let port = target.port.parse().ok().filter(|port| *port != 0 && !OWN_PORTS.contains(port));
            let port = port.ok_or(ScrapeError::Port(target.port))?;
            let path = if target.path.is_empty() { "/metrics".to_owned() } else { target.path };
            let slash = if path.starts_with('/') { "" } else { "/" };
            Ok((SocketAddr::from((Ipv4Addr::LOCALHOST, port)), format!("{slash}{path}")))
        };
        Ok(Some(Self { targets: targets.into_iter().map(target).collect::<Result<_, _>>()? }))
    }

    /// Appends what the endpoints answer. One that fails is left out; ours must not suffer from it.
    pub(super) async fn append(&self, text: &mut String, headers: &HeaderMap) {
        let timeout = scrape_timeout(headers);
        let fetches = self.targets.iter().map(|target| tokio::time::timeout(timeout, fetch(target, headers)));
        for (result, (address, path)) in
            futures::future::join_all(fetches).await.into_iter().zip(&self.targets)
        {
            match result.unwrap_or(Err(ClientError::Timeout(timeout).to_string())) {
                Ok(body) => append_body(text, &body),
                Err(problem) => {
                    tracing::warn!(port = address.port(), ?path, "application metrics: {problem}");
                }
            }
        }
    }
}

async fn fetch((address, path): &(SocketAddr, String), incoming: &HeaderMap) -> Result<String, String> {
    let uri: Uri =
        format!("http://localhost:{}{path}", address.port()).parse().map_err(|_| "the path is not valid")?;
    let mut headers = HeaderMap::new();
    // One format for all: ours and the application's go into one text.
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/plain;version=0.0.4"));
    if let Some(agent) = incoming.get(header::USER_AGENT) {
        headers.insert(header::USER_AGENT, agent.clone());
    }
    let response = get(*address, &uri, &headers, Limit::Refuse(MAX_BODY)).await.map_err(|e| e.to_string())?;
    if !response.status().is_success() {
        return Err(format!("status {}", response.status()));
    }
    String::from_utf8(response.into_body().into()).map_err(|_| "the answer is not text".to_owned())
}

fn scrape_timeout(headers: &HeaderMap) -> Duration {
    let asked = headers.get("x-prometheus-scrape-timeout-seconds").and_then(|value| value.to_str().ok());
    let asked = asked
        .and_then(|text| text.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    asked.unwrap_or(DEFAULT_TIMEOUT).clamp(Duration::from_millis(100), Duration::from_mins(1))
}

/// Without the mark that ends OpenMetrics, and with the line break that must be there.
fn append_body(text: &mut String, body: &str) {
    let trimmed = body.trim_end();
    let trimmed = trimmed.strip_suffix("# EOF").unwrap_or(trimmed).trim_end();
    if !trimmed.is_empty() {
        text.push_str(trimmed);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_as_the_injector_writes_them() {
        let of = |text: &str| Scrape::parse(Some(text)).map(|scrape| scrape.map(|scrape| scrape.targets));
        let at = |port: u16, path: &str| (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), path.to_owned());
        assert_eq!(Scrape::parse(None), Ok(None));
        assert_eq!(of(r#"{"scrape":"false"}"#), Ok(None));
        assert_eq!(of(r#"{"scrape":"true","path":"m","port":"9090"}"#), Ok(Some(vec![at(9090, "/m")])));
        assert_eq!(of("{}"), Ok(Some(vec![at(80, "/metrics")])));
        let two = r#"{"targets":[{"port":"1"},{"port":"2","path":"/x"}]}"#;
        assert_eq!(of(two), Ok(Some(vec![at(1, "/metrics"), at(2, "/x")])));
        for own in ["15020", "015020", "0", "http"] {
            let text = format!(r#"{{"port":"{own}"}}"#);
            assert_eq!(of(&text), Err(ScrapeError::Port(own.to_owned())));
        }
        assert!(matches!(of("{"), Err(ScrapeError::Json(_))));
    }

    #[test]
    fn bodies_are_joined_line_by_line() {
        let mut text = "a 1\n".to_owned();
        append_body(&mut text, "b 2");
        append_body(&mut text, "c 3\n# EOF\n");
        append_body(&mut text, "\n");
        assert_eq!(text, "a 1\nb 2\nc 3\n");
    }

    #[test]
    fn prometheus_says_how_long_it_waits() {
        let of = |text: &'static str| {
            let name = http::HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
            scrape_timeout(&HeaderMap::from_iter([(name, HeaderValue::from_static(text))])).as_secs_f64()
        };
        assert_eq!([of("1.5"), of("0"), of("1e9"), of("soon")].map(|s| (s * 10.0) as u32), [15, 1, 600, 100]);
    }
}
