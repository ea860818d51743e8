//! What was seen of a request: its answers, what the server saw, and the proxy's log lines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Headers that differ from one request to the next, or that say who passed it on.
const RESTLESS: [&str; 11] = [
    "date",
    "content-length",
    "x-request-id",
    "x-table",
    "x-echo-pod",
    "x-echo-version",
    "x-envoy-upstream-service-time",
    "x-forwarded-client-cert",
    "traceparent",
    "x-envoy-peer-metadata",
    // The name of a span for the next proxy, which a server was never meant to see.
    "x-envoy-decorator-operation",
];

/// The answers to a request that is sent several times.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    pub(super) all: Vec<Answer>,
    pub(super) error: Option<String>,
}

/// One answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    /// The body, as text.
    pub(super) text: String,
    /// What the server says that it saw; null if the answer isn't the server's.
    pub(super) seen: Value,
    pub(super) milliseconds: u64,
}

impl Answers {
    /// From a line of `echo batch`.
    pub(super) fn read(outcome: &Value) -> Self {
        let answers = outcome["answers"].as_array().into_iter().flatten();
        Self {
            all: answers.map(Answer::read).collect(),
            error: outcome["error"].as_str().map(ToOwned::to_owned),
        }
    }
}

impl Answer {
    fn read(answer: &Value) -> Self {
        if answer.get("received").is_some() {
            return Self::of_bytes(answer);
        }
        if answer.get("replies").is_some() {
            return Self::of_call(answer);
        }
        let text = &answer["text"];
        let own = text.is_object() && text["pod"].is_string();
        let mut headers = strings(&answer["headers"]);
        if let Some(cookie) = headers.get("set-cookie").and_then(|cookie| without_value(cookie)) {
            headers.insert("set-cookie".to_owned(), cookie);
        }
        Self {
            status: answer["status"].as_u64().unwrap_or_default() as u16,
            headers,
            text: text.as_str().map_or_else(|| text.to_string(), ToOwned::to_owned),
            seen: if own { text.clone() } else { Value::Null },
            milliseconds: answer["milliseconds"].as_u64().unwrap_or_default(),
        }
    }

    /// Of a conversation in bytes: what came back is the body, what the server said first a header.
    fn of_bytes(answer: &Value) -> Self {
        let greeting = answer["greeting"].as_str().map(|text| ("greeting".to_owned(), text.to_owned()));
        Self {
            headers: greeting.into_iter().collect(),
            text: without_client(answer),
            milliseconds: answer["milliseconds"].as_u64().unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Of a gRPC call: its status is gRPC's, its headers are those and the trailers, and the last reply tells what the
    /// server saw; without one the body is the status's message.
    fn of_call(answer: &Value) -> Self {
        let replies = answer["replies"].as_array().map_or(&[][..], Vec::as_slice);
        let mut headers = strings(&answer["metadata"]);
        headers.insert("replies".to_owned(), replies.len().to_string());
        let message = answer["message"].as_str().unwrap_or_default().to_owned();
        let seen = replies.last().map_or(Value::Null, |reply| {
            json!({ "pod": reply["pod"], "headers": reply["metadata"], "received": reply["received"] })
        });
        Self {
            status: answer["code"].as_u64().unwrap_or_default() as u16,
            headers,
            text: message,
            seen,
            milliseconds: answer["milliseconds"].as_u64().unwrap_or_default(),
        }
    }

    /// The version of the server that answered; empty if none did.
    pub(super) fn version(&self) -> &str {
        self.headers.get("x-echo-version").map_or("", String::as_str)
    }

    /// Headers of the answer that say something.
    pub(super) fn calm_headers(&self) -> BTreeMap<String, String> {
        calm(self.headers.clone())
    }

    /// Headers that the server saw and that say something.
    pub(super) fn calm_seen(&self) -> BTreeMap<String, String> {
        let mut headers = strings(&self.seen["headers"]);
        // The proxy of a mirrored request adds its own address.
        let source = self.seen["source"].as_str().and_then(|source| Some(source.rsplit_once(':')?.0));
        if let (Some(hops), Some(source)) = (headers.get_mut("x-forwarded-for"), source) {
            let named = hops.split(',').map(|hop| if hop == source { "proxy" } else { hop });
            *hops = named.collect::<Vec<_>>().join(",");
        }
        calm(headers)
    }
}

/// A PROXY header names the client, which each data plane has its own of; of a binary one only the length is told.
fn without_client(answer: &Value) -> String {
    let text = answer["received"].as_str().unwrap_or_default();
    if text.starts_with("\r\n\r\n\0\r\nQUIT\n") {
        return format!("PROXY in binary, {} bytes in all", answer["received_bytes"]);
    }
    let Some(line) = text.strip_prefix("PROXY TCP4 ") else { return text.to_owned() };
    let mut words: Vec<&str> = line.splitn(4, ' ').collect();
    for client in [0, 2] {
        if let Some(word) = words.get_mut(client) {
            *word = "...";
        }
    }
    format!("PROXY TCP4 {}", words.join(" "))
}

fn strings(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn calm(mut headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    headers
        .retain(|name, _| !RESTLESS.contains(&name.as_str()) && !name.starts_with("x-envoy-peer-metadata"));
    headers
}

/// A cookie that a proxy made up has 16 hex digits of its own in quotes, for which three dots stand here.
fn without_value(cookie: &str) -> Option<String> {
    let (name, rest) = cookie.split_once("=\"")?;
    let (value, attributes) = rest.split_once('"')?;
    let made_up = value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    made_up.then(|| format!("{name}=...{attributes}"))
}

/// A line of the access log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Logged {
    pub(super) code: String,
    pub(super) flags: String,
    pub(super) cluster: String,
    pub(super) route: String,
    pub(super) details: String,
}

/// The lines of a log by the id of their request.
pub(super) fn logged(log: &str) -> BTreeMap<String, Vec<Logged>> {
    let mut lines: BTreeMap<String, Vec<Logged>> = BTreeMap::new();
    for line in log.lines().filter_map(|line| line.strip_prefix("TABLE|")) {
        let fields: Vec<&str> = line.splitn(4, '|').collect();
        let [id, code, flags, rest] = fields.as_slice() else { continue };
        // Names of clusters and details have bars of their own.
        let mut tail = rest.split('\t');
        let (cluster, route, details) = (tail.next(), tail.next(), tail.next());
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        lines.entry((*id).to_owned()).or_default().push(Logged {
            code: (*code).to_owned(),
            flags: (*flags).to_owned(),
            cluster: text(cluster),
            route: text(route),
            details: text(details),
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_taken_apart_though_names_and_details_have_bars() {
        let lines = logged(
            "noise\nTABLE|r1.0|503|UO|outbound|80|v1|echo.r1.svc.cluster.local\tdefault\tover{flow|ed}\n",
        );
        let line = &lines["r1.0"][0];
        assert_eq!(line.cluster, "outbound|80|v1|echo.r1.svc.cluster.local");
        assert_eq!(
            (line.flags.as_str(), line.route.as_str(), line.details.as_str()),
            ("UO", "default", "over{flow|ed}")
        );
    }
}
