//! An Envoy whose virtual hosts are the cases, and which is its own upstream: it answers with the address that was asked.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use testkit::{Process, envoy_binary, eventually};

use crate::by::Request;
use crate::cases::Case;

/// Until it listens.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests that are sent before their answers are read.
const AHEAD: usize = 50;

/// A running Envoy, ended when it is dropped.
pub(crate) struct Envoy {
    entrance: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

/// Ports that nobody listens on.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

impl Envoy {
    pub(crate) async fn start(cases: &[Case], entrance: u16, servers: u16) -> Result<Self> {
        let hosts: Vec<Value> = cases.iter().map(virtual_host).collect();
        let clusters: Vec<Value> = cases.iter().map(cluster).collect();
        let listeners = [listener(entrance, &json!(hosts)), listener(servers, &json!([server()]))];
        let bootstrap = json!({"static_resources": {"listeners": listeners, "clusters": clusters}});
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("envoy.json");
        std::fs::write(&path, serde_json::to_vec(&bootstrap)?)?;
        let mut command = Command::new(envoy_binary()?);
        command.arg("-c").arg(&path);
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
        let mut process = Process::start("Envoy", &mut command, &folder.path().join("log"))?;
        let listens = eventually(PATIENCE, async || {
            if let Some(status) = process.ended() {
                return Ok(Some(status));
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, entrance))?;
            Ok(None)
        });
        if let Some(status) = listens.await.context("Envoy does not listen")? {
            bail!("Envoy ended with {status}: {}", process.output());
        }
        Ok(Self { entrance, _process: process, _folder: folder })
    }

    /// The address of the server that answers each request.
    pub(crate) fn ask(&self, case: &Case, requests: &[Request]) -> Result<Vec<String>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while let Some(first) = rest.first() {
            // Whose address counts has a connection of its own.
            let together = if first.from.is_some() { 1 } else { AHEAD.min(rest.len()) };
            let (now, later) = rest.split_at(together);
            let mut connection = self.connect(first.from.unwrap_or(Ipv4Addr::LOCALHOST))?;
            let text: String = now.iter().map(|request| written(case, request)).collect();
            connection.get_mut().write_all(text.as_bytes())?;
            for _ in now {
                answers.push(answer(&mut connection)?);
            }
            rest = later;
        }
        Ok(answers)
    }

    fn connect(&self, from: Ipv4Addr) -> Result<BufReader<TcpStream>> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.entrance)).into())?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(BufReader::new(socket.into()))
    }
}

fn written(case: &Case, request: &Request) -> String {
    let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut text = format!("GET /{query} HTTP/1.1\r\nhost: {}\r\n", host(case));
    for (name, value) in &request.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text + "\r\n"
}

/// The server that an answer names; it has no body.
fn answer(connection: &mut BufReader<TcpStream>) -> Result<String> {
    let (mut server, mut head) = (None, String::new());
    loop {
        let start = head.len();
        if connection.read_line(&mut head)? == 0 {
            bail!("closed within a head: {head}");
        }
        let line = head[start..].trim_end();
        match line.split_once(": ") {
            Some(("x-server", address)) => server = Some(address.to_owned()),
            _ if line.is_empty() => return server.with_context(|| format!("no server answered: {head}")),
            _ => {}
        }
    }
}

/// The cluster of a case. Envoy hashes names in clusters of names only, and there an address is a name as well.
fn cluster(case: &Case) -> Value {
    let mut cluster = case.cluster.clone();
    if cluster.pointer("/common_lb_config/consistent_hashing_lb_config").is_some() {
        cluster["type"] = json!("STRICT_DNS");
    }
    cluster
}

/// A name for a case that a host may have.
fn host(case: &Case) -> String {
    case.name
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() { one.to_ascii_lowercase() } else { '-' })
        .collect()
}

/// The virtual host of a case.
pub(crate) fn virtual_host(case: &Case) -> Value {
    let route = json!({"cluster": case.name, "hash_policy": case.by.policy()});
    json!({"name": host(case), "domains": [host(case)], "routes": [{"match": {"prefix": "/"}, "route": route}]})
}

/// Answers everything.
fn server() -> Value {
    let header = json!({"header": {"key": "x-server", "value": "%DOWNSTREAM_LOCAL_ADDRESS%"}});
    json!({"name": "server", "domains": ["*"], "routes": [{
        "match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": [header],
    }]})
}

fn listener(port: u16, virtual_hosts: &Value) -> Value {
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "placement",
        "route_config": {"virtual_hosts": virtual_hosts},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    });
    json!({
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
        "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
        ]}],
    })
}
