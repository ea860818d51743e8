//! Sends requests from a pod, many at a time, by the echo's own client.
//!
//! `{gateway}` in a request stands for the address of the data plane's own gateway; from outside, `{server}` for that of its
//! server with a sidecar.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    fixture::{CLIENTS, GATEWAYS},
    observed::Answers,
    row::Request,
};
use crate::{LocalMesh, LocalPod};

/// A request with the id that its log line will carry.
#[derive(Debug, Clone)]
pub(super) struct Sent<'a> {
    pub(super) id: String,
    pub(super) request: &'a Request,
}

/// The pod whose proxy's log tells of a request, on one data plane.
pub(super) fn proxy_of<'m>(mesh: &'m LocalMesh, from: &str, plane: &str) -> Result<&'m LocalPod> {
    match from {
        "gateway" => mesh.pod(GATEWAYS, &format!("gateway-{plane}")),
        "other" => mesh.pod("elsewhere", &format!("other-{plane}")),
        "client" => mesh.pod(CLIENTS, &format!("client-{plane}")),
        "outside" | "server" => mesh.pod(CLIENTS, &format!("meshed-{plane}")),
        unknown => {
            bail!("requests come from client, other, gateway, outside or server, not from `{unknown}`")
        }
    }
}

/// Sends requests on one data plane; what came of each, by id.
pub(super) fn send(
    mesh: &LocalMesh,
    plane: &str,
    requests: &[Sent<'_>],
) -> Result<BTreeMap<String, Answers>> {
    let mut by_client: BTreeMap<&str, Vec<&Sent<'_>>> = BTreeMap::new();
    for sent in requests {
        by_client.entry(&sent.request.from).or_default().push(sent);
    }
    let gateway = proxy_of(mesh, "gateway", plane)?.address();
    let mut all = BTreeMap::new();
    for (from, requests) in by_client {
        let proxy = proxy_of(mesh, from, plane)?;
        let client =
            if matches!(from, "gateway" | "outside") { mesh.pod(CLIENTS, "outside")? } else { proxy };
        let lines: Vec<String> = requests
            .iter()
            .map(|sent| line(sent, gateway, proxy.address(), from == "gateway"))
            .collect::<Result<_>>()?;
        let echo = mesh.program("echo");
        let command = [echo.to_string_lossy().into_owned(), "batch".to_owned()];
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let out = client.exec_with(&command, &(lines.join("\n") + "\n"))?;
        // Each data plane has clients and servers of its own, whose addresses say nothing.
        let out = if from == "gateway" { out } else { out.replace(proxy.address(), from) };
        for line in out.lines() {
            let outcome: Value = serde_json::from_str(line).with_context(|| format!("reading `{line}`"))?;
            let index = outcome["line"].as_u64().context("an outcome without line")? as usize;
            let id = requests.get(index).context("an outcome of no request")?.id.clone();
            all.insert(id, Answers::read(&outcome));
        }
    }
    Ok(all)
}

/// The arguments of one `get`, `tcp` or `grpc`, as JSON.
fn line(sent: &Sent<'_>, gateway: &str, server: &str, through_gateway: bool) -> Result<String> {
    let (method, target) = sent
        .request
        .line
        .split_once(' ')
        .with_context(|| format!("`{}`: a request is `METHOD URL`", sent.request.line))?;
    let target = target.replace("{gateway}", gateway).replace("{server}", server);
    let arguments = match method {
        "TCP" => tcp(sent.request, target),
        "GRPC" => grpc(sent, &target),
        method => get(sent, method, &target, gateway, through_gateway),
    };
    Ok(serde_json::to_string(&arguments)?)
}

/// How long to wait for an answer.
const PATIENCE: &str = "15s";

fn tcp(request: &Request, target: String) -> Vec<String> {
    let mut arguments = words(&["tcp", "--patient", "--timeout", PATIENCE]);
    if request.greeting {
        arguments.push("--greeting".to_owned());
    }
    for (name, value) in [("--send", &request.body), ("--announce", &request.announce)] {
        if let Some(value) = value {
            arguments.extend([name.to_owned(), value.clone()]);
        }
    }
    arguments.push(target);
    arguments
}

fn grpc(sent: &Sent<'_>, target: &str) -> Vec<String> {
    let Request { call, headers, count, .. } = sent.request;
    let mut arguments = words(&["grpc", "--timeout", PATIENCE]);
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("-H", format!("x-table: {}", sent.id));
    for (name, value) in headers {
        flag("-H", format!("{name}: {value}"));
    }
    flag("--times", count.to_string());
    let options = [
        ("--call", call.shape.clone()),
        ("--count", call.messages.map(|count| count.to_string())),
        ("--status", call.status.map(|status| status.to_string())),
        ("--delay", call.delay.clone()),
        ("--deadline", call.deadline.clone()),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            flag(name, value);
        }
    }
    arguments.push(format!("http://{target}"));
    arguments
}

fn get(sent: &Sent<'_>, method: &str, url: &str, gateway: &str, through_gateway: bool) -> Vec<String> {
    let request = sent.request;
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let mut arguments = words(&["get", "-X", method, "--timeout", PATIENCE]);
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("-H", format!("x-table: {}", sent.id));
    for (name, value) in &request.headers {
        flag("-H", format!("{name}: {value}"));
    }
    flag("--count", request.count.to_string());
    if let Some(body) = &request.body {
        flag("--body", body.clone());
    }
    let tls = [
        ("--sni", &request.sni),
        ("--cacert", &request.trust),
        ("--identity", &request.identity),
        ("--tls", &request.tls),
        ("--cipher", &request.cipher),
        ("--alpn", &request.alpn),
        ("--announce", &request.announce),
    ];
    for (name, value) in tls {
        if let Some(value) = value {
            flag(name, value.clone());
        }
    }
    let usual = || format!("{gateway}:{}", if url.starts_with("https") { 8443 } else { 8080 });
    let connect_to = request.connect_to.as_ref().map(|to| to.replace("{gateway}", gateway));
    if let Some(to) = connect_to.or_else(|| through_gateway.then(usual)) {
        flag("--connect-to", to);
    }
    if request.at_once {
        arguments.push("--at-once".to_owned());
    }
    if request.http2 {
        arguments.push("--http2".to_owned());
    }
    arguments.push(url);
    arguments
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}
