//! What a file of the table says.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

/// A file: rows about one feature.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What the rows have in common, in a sentence.
    #[allow(dead_code, reason = "for readers")]
    pub(super) about: String,
    /// Additions to the mesh's settings (MeshConfig) for this file.
    #[serde(default)]
    pub(super) mesh: Option<Value>,
    /// Objects for the whole file, in the namespaces that they name.
    #[serde(default)]
    pub(super) config: Vec<Value>,
    /// Whether there are servers with sidecars as well, behind the Service `meshed` of namespace `table`.
    #[serde(default)]
    pub(super) meshed: bool,
    pub(super) rows: Vec<Row>,
}

/// A configuration, requests, and what must come of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// What it shows, in a sentence.
    #[serde(rename = "row")]
    pub(super) title: String,
    /// Objects in the row's own namespace, unless they name another. `apiVersion` and name may be left out.
    #[serde(default)]
    pub(super) config: Vec<Value>,
    pub(super) requests: Vec<Request>,
    /// What the data planes do differently, and the decision that says why.
    #[serde(default)]
    pub(super) differs: BTreeMap<String, String>,
}

/// One request, or several alike.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// `METHOD URL`; without a scheme it is http. `TCP host:port` sends bytes, `GRPC host:port` makes a call.
    #[serde(rename = "request")]
    pub(super) line: String,
    /// `client`, `gateway` (from outside through the ingress gateway), or another place of the fixture.
    #[serde(default = "client")]
    pub(super) from: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: Option<String>,
    /// For TCP: the server speaks first, and the client waits for it.
    #[serde(default)]
    pub(super) greeting: bool,
    /// For gRPC: what to call.
    #[serde(default)]
    pub(super) call: Call,
    /// HTTP/2 by prior knowledge.
    #[serde(default)]
    pub(super) http2: bool,
    /// How many, one after the other on one connection.
    #[serde(default = "one")]
    pub(super) count: u32,
    /// All of them at the same time, on connections of their own.
    #[serde(default)]
    pub(super) at_once: bool,
    /// Server name for TLS.
    #[serde(default)]
    pub(super) sni: Option<String>,
    /// Secret of the file whose certificate is the only one that the client trusts.
    #[serde(default)]
    pub(super) trust: Option<String>,
    /// Secret of the file whose certificate the client shows.
    #[serde(default)]
    pub(super) identity: Option<String>,
    /// The only version of TLS that the client speaks: `1.2` or `1.3`.
    #[serde(default)]
    pub(super) tls: Option<String>,
    /// The only suite of TLS 1.2 that the client speaks, by its IANA name.
    #[serde(default)]
    pub(super) cipher: Option<String>,
    /// A line that the client begins each connection with: a PROXY header.
    #[serde(default)]
    pub(super) announce: Option<String>,
    /// A protocol that the client offers by ALPN before HTTP's own.
    #[serde(default)]
    pub(super) alpn: Option<String>,
    /// Address to connect to instead of the URL's: `host:port`.
    #[serde(default)]
    pub(super) connect_to: Option<String>,
    pub(super) expect: Expect,
}

/// A gRPC call of the echo's service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// `unary` (the default), `server`, `client` or `bidi`.
    #[serde(default)]
    pub(super) shape: Option<String>,
    /// Messages of a stream.
    #[serde(default)]
    pub(super) messages: Option<u32>,
    /// The status that the server ends with.
    #[serde(default)]
    pub(super) status: Option<i32>,
    /// How long the server waits before each reply.
    #[serde(default)]
    pub(super) delay: Option<String>,
    /// The deadline that everybody is told.
    #[serde(default)]
    pub(super) deadline: Option<String>,
}

/// What must be observed; what is left out may be anything, but the same on both data planes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The status, or how often each comes: `{200: 50, 503: 50}` in percent.
    #[serde(default)]
    pub(super) status: Option<Shares<u16>>,
    /// The version of the server that answered, or how often each does, in percent.
    #[serde(default)]
    pub(super) by: Option<Shares<String>>,
    /// By how many percent points shares may be off.
    #[serde(default = "five")]
    pub(super) within: f64,
    /// What the server saw.
    #[serde(default)]
    pub(super) seen: Option<Seen>,
    /// Headers of the answer; null means that there is none of that name.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Option<String>>,
    /// What the answer's body contains.
    #[serde(default)]
    pub(super) body: Option<String>,
    /// Response flags in the client's access log, `-` for none, or how often each comes, in percent.
    #[serde(default)]
    pub(super) flags: Option<Shares<String>>,
    /// The same server answers all of them, on both data planes.
    #[serde(default)]
    pub(super) same_server: bool,
    /// How many servers answer.
    #[serde(default)]
    pub(super) servers: Option<usize>,
    /// How many connections the servers saw.
    #[serde(default)]
    pub(super) connections: Option<Between>,
    /// How many requests a server says that it kept.
    #[serde(default)]
    pub(super) kept: Option<Between>,
    /// The upstream cluster in the client's access log.
    #[serde(default)]
    pub(super) cluster: Option<String>,
    /// The route's name in the client's access log.
    #[serde(default)]
    pub(super) route: Option<String>,
    /// How long it took, in milliseconds: `[least, most]`.
    #[serde(default)]
    pub(super) took: Option<[u64; 2]>,
    /// There is no answer: the connection is refused, reset or no TLS.
    #[serde(default)]
    pub(super) failure: bool,
}

/// What the server says that it saw.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) query: Option<String>,
    #[serde(default)]
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) protocol: Option<String>,
    /// Null means that there is none of that name.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Option<String>>,
}

/// One value always, or several with their shares in percent.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Shares<T: Ord> {
    /// Always this one.
    One(T),
    /// Each with its share in percent.
    Several(BTreeMap<T, f64>),
}

/// A number, or the least and the most that it may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Between {
    /// This one.
    Exactly(u64),
    /// `[least, most]`.
    Range([u64; 2]),
}

impl Between {
    pub(super) fn contains(&self, number: u64) -> bool {
        match self {
            Self::Exactly(only) => number == *only,
            Self::Range([least, most]) => (least..=most).contains(&&number),
        }
    }
}

fn client() -> String {
    "client".to_owned()
}

fn one() -> u32 {
    1
}

fn five() -> f64 {
    5.0
}

impl Request {
    /// A GET from the client, of which nothing is expected.
    pub(super) fn get(url: &str) -> Self {
        Self {
            line: format!("GET {url}"),
            from: client(),
            headers: BTreeMap::new(),
            body: None,
            greeting: false,
            call: Call::default(),
            http2: false,
            count: 1,
            at_once: false,
            sni: None,
            trust: None,
            identity: None,
            tls: None,
            cipher: None,
            alpn: None,
            announce: None,
            connect_to: None,
            expect: Expect::default(),
        }
    }
}

impl Request {
    /// Whether a proxy's log tells of it under its id: bytes carry none, and a proxy doesn't log what it is asked itself.
    pub(super) fn is_logged(&self) -> bool {
        !self.line.starts_with("TCP ") && !self.line.contains("://127.0.0.1:15000/")
    }

    /// Whether chance or time has a part in its outcome.
    pub(super) fn has_chance(&self) -> bool {
        self.count > 1 || self.expect.took.is_some()
    }
}

impl File {
    /// Reads a file; `{ns}` stands for the namespace of the row that it is in.
    pub(super) fn read(yaml: &str) -> Result<Self> {
        serde_saphyr::from_str(yaml).context("this is no table")
    }
}

impl File {
    /// The file's Secrets as files for proxies, named `SECRET.KEY`.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let secrets = self.config.iter().filter(|object| object["kind"] == "Secret");
        let named = secrets.filter_map(|secret| {
            let name = secret["metadata"]["name"].as_str()?;
            Some((name, secret["stringData"].as_object()?))
        });
        named
            .flat_map(|(name, data)| {
                data.iter().map(move |(key, value)| {
                    (format!("{name}.{key}"), value.as_str().unwrap_or_default().to_owned())
                })
            })
            .collect()
    }

    /// The PEM in a Secret of the file.
    fn pem(&self, secret: &str, keys: &[&str]) -> Result<String> {
        let mut secrets = self.config.iter().filter(|object| object["kind"] == "Secret");
        let found = secrets.find(|object| object["metadata"]["name"] == secret);
        let found = found.with_context(|| format!("the file has no Secret `{secret}`"))?;
        let text = |key: &&str| found["stringData"][*key].as_str().unwrap_or_default().to_owned();
        Ok(keys.iter().map(text).collect::<Vec<_>>().join("\n"))
    }

    /// Puts the certificates themselves where requests name Secrets.
    pub(super) fn name_certificates(&mut self) -> Result<()> {
        let mut rows = std::mem::take(&mut self.rows);
        for request in rows.iter_mut().flat_map(|row| &mut row.requests) {
            if let Some(secret) = &mut request.trust {
                *secret = self.pem(secret, &["tls.crt"])?;
            }
            if let Some(secret) = &mut request.identity {
                *secret = self.pem(secret, &["tls.crt", "tls.key"])?;
            }
        }
        self.rows = rows;
        Ok(())
    }
}

impl Row {
    /// The row with its namespace written where `{ns}` stands, and objects completed.
    pub(super) fn in_namespace(&self, namespace: &str, words: &BTreeMap<String, String>) -> Result<Placed> {
        let place = |text: &str| {
            let text = text.replace("{ns}", namespace);
            words.iter().fold(text, |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
        };
        let objects = self.config.iter().enumerate().map(|(index, object)| {
            let object: Value = serde_json::from_str(&place(&object.to_string()))?;
            completed(object, namespace, index).with_context(|| format!("row `{}`", self.title))
        });
        let mut requests = self.requests.clone();
        for request in &mut requests {
            request.line = place(&request.line);
            request.connect_to = request.connect_to.as_deref().map(place);
            request.sni = request.sni.as_deref().map(place);
            request.body = request.body.as_deref().map(place);
            for value in request.headers.values_mut() {
                *value = place(value);
            }
            let expect = &mut request.expect;
            let seen = expect.seen.as_mut();
            let texts = [&mut expect.body, &mut expect.cluster, &mut expect.route].into_iter().flatten();
            let of_server = seen.into_iter().flat_map(|seen| {
                [&mut seen.path, &mut seen.query, &mut seen.host]
                    .into_iter()
                    .flatten()
                    .chain(seen.headers.values_mut().flatten())
            });
            for text in texts.chain(expect.headers.values_mut().flatten()).chain(of_server) {
                *text = place(text);
            }
        }
        Ok(Placed { objects: objects.collect::<Result<_>>()?, requests })
    }
}

/// An object with words replaced.
pub(super) fn written(object: &Value, words: &BTreeMap<String, String>) -> Result<Value> {
    let text = words
        .iter()
        .fold(object.to_string(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value));
    Ok(serde_json::from_str(&text)?)
}

/// A row in its namespace.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) objects: Vec<Value>,
    pub(super) requests: Vec<Request>,
}

/// An object with apiVersion, name and namespace.
pub(super) fn completed(mut object: Value, namespace: &str, index: usize) -> Result<Value> {
    let kind = object["kind"].as_str().context("an object without kind")?.to_owned();
    let version = match kind.as_str() {
        "VirtualService" | "DestinationRule" | "Gateway" | "ServiceEntry" | "Sidecar" | "WorkloadEntry" => {
            "networking.istio.io/v1"
        }
        "PeerAuthentication" => "security.istio.io/v1",
        "Ingress" | "IngressClass" => "networking.k8s.io/v1",
        "Service" | "Secret" | "ConfigMap" | "Pod" | "Namespace" => "v1",
        _ if object["apiVersion"].is_string() => "",
        other => bail!("the table knows no apiVersion of {other}; name one"),
    };
    let fields = object.as_object_mut().context("an object is a map")?;
    fields.entry("apiVersion").or_insert_with(|| json!(version));
    let meta = fields.entry("metadata").or_insert_with(|| json!({}));
    let meta = meta.as_object_mut().context("metadata is a map")?;
    meta.entry("name").or_insert_with(|| json!(format!("object-{index}")));
    meta.entry("namespace").or_insert_with(|| json!(namespace));
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_placed_in_its_namespace() -> Result<()> {
        let file = File::read(
            "about: x\nrows:\n- row: one\n  config:\n  - {kind: VirtualService, spec: {hosts: [echo]}}\n  requests:\n  - request: GET echo.{ns}/a\n    expect: {status: {200: 50, 503: 50}, by: v1, seen: {host: 'echo.{ns}'}}\n",
        )?;
        let placed = file.rows[0].in_namespace("r7", &BTreeMap::new())?;
        assert_eq!(placed.objects[0]["apiVersion"], "networking.istio.io/v1");
        assert_eq!(placed.objects[0]["metadata"], json!({"name": "object-0", "namespace": "r7"}));
        assert_eq!(placed.requests[0].line, "GET echo.r7/a");
        let expect = &placed.requests[0].expect;
        assert_eq!(expect.seen.as_ref().and_then(|seen| seen.host.as_deref()), Some("echo.r7"));
        assert!(matches!(&expect.status, Some(Shares::Several(shares)) if shares.len() == 2));
        assert!(File::read("about: x\nrows:\n- row: one\n  request: []\n").is_err());
        Ok(())
    }
}
