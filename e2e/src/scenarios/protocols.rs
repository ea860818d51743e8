//! Scenario 5: protocols other than a plain HTTP/1.1 request.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    namespace::{Injection, Namespace},
    test::Test,
};

/// What a proxy's memory may reach while 1 GiB passes through it: buffers, not bodies.
const BOUND_KIB: u64 = 64 * 1024;

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-protocols", Injection::Enabled).await?;
    mesh.with_echo().await?;
    http(t, &mesh).await?;
    grpc(t, &mesh).await?;
    streams(t, &mesh).await?;
    gibibyte(t, &mesh).await
}

async fn http(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    // What the app sees follows the port's name, as in Istio: a port named http is asked in HTTP/1.1.
    t.step("HTTP/1.1 arrives as HTTP/1.1, HTTP/2 by prior knowledge as HTTP/2");
    for (flag, port, protocol) in [("", 8080, "HTTP/1.1"), ("--http2", 8081, "HTTP/2")] {
        let answer = mesh.fetch(&format!("{flag} 'http://echo:{port}/path?query=1'")).await?;
        let (seen, via) = (&answer["text"]["protocol"], &answer["protocol"]);
        ensure!(*seen == *protocol, "the app saw {seen} instead of {protocol}: {answer}");
        ensure!(via.as_str().unwrap_or_default().starts_with(&protocol[..6]), "answered by {via}");
        ensure!(answer["text"]["path"] == "/path" && answer["text"]["query"] == "query=1", "{answer}");
        let certificate = answer["text"]["peer_certificate"].as_str().unwrap_or_default();
        ensure!(certificate.contains("/ns/e2e-protocols/sa/client"), "not by mutual TLS: {answer}");
    }

    t.step("statuses pass as they are");
    for status in [204, 304, 404, 503] {
        let answer = mesh.fetch(&format!("'http://echo:8080/?status={status}'")).await?;
        ensure!(answer["status"] == status, "{status} became {}", answer["status"]);
    }
    Ok(())
}

async fn grpc(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("gRPC: unary, server, client and bidirectional streams, with metadata");
    for (call, replies) in [("unary", 1), ("server", 20), ("client", 1), ("bidi", 20)] {
        let line = format!("grpc http://echo:7070 --call {call} --count 20 --header 'x-kept: yes'");
        let outcome = mesh.echo("client", &line).await?;
        ensure!(outcome["status"] == "Ok", "{call}: {outcome}");
        let got = outcome["replies"].as_array().map_or(0, Vec::len);
        ensure!(got == replies, "{call}: {got} replies instead of {replies}");
        ensure!(outcome["replies"][0]["metadata"]["x-kept"] == "yes", "{call}: metadata was lost: {outcome}");
    }

    t.step("gRPC: a status in the trailers arrives, also after a stream");
    for call in ["unary", "server", "bidi"] {
        let outcome = mesh.echo("client", &format!("grpc http://echo:7070 --call {call} --status 5")).await?;
        ensure!(outcome["status"] == "NotFound" && outcome["message"] == "as asked", "{call}: {outcome}");
    }
    Ok(())
}

async fn streams(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("WebSocket: the upgrade and messages in both directions");
    let talk = mesh.echo("client", "ws ws://echo:8080/ws --count 5 --interval 200ms").await?;
    ensure!(talk["status"] == 101 && intact(&talk), "{talk}");

    t.step("TCP: bytes both ways, and a server that speaks first");
    let talk = mesh.echo("client", "tcp echo:9000 --send hello --bytes 16MiB --timeout 30s").await?;
    ensure!(intact(&talk), "{talk}");
    let talk = mesh.echo("client", "tcp echo:9001 --greeting --send hello").await?;
    ensure!(talk["greeting"].as_str().unwrap_or_default().starts_with("220 echo-v1-"), "{talk}");
    ensure!(intact(&talk), "{talk}");

    t.step("the app's own TLS passes through");
    let answer = mesh.fetch("https://echo:8443/").await?;
    ensure!(answer["status"] == 200 && answer["text"]["tls"]["version"] == "TLSv1_3", "{answer}");
    Ok(())
}

fn intact(talk: &Value) -> bool {
    talk["intact"] == true
}

async fn gibibyte(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("1 GiB down and 1 GiB up, whole by checksum");
    let get = "get --timeout 120s";
    let down =
        mesh.echo("client", &format!("{get} --expect-bytes 1GiB 'http://echo:8080/?bytes=1GiB'")).await?;
    ensure!(down["status"] == 200 && down["body"]["bytes"] == 1_u64 << 30, "{}", down["body"]);
    let up = mesh.echo("client", &format!("{get} --body-bytes 1GiB http://echo:8080/")).await?;
    ensure!(up["text"]["body"] == down["body"], "{} arrived instead of {}", up["text"]["body"], down["body"]);
    t.step(format!("took {} ms down, {} ms up", down["milliseconds"], up["milliseconds"]));

    if !t.cluster.own {
        t.step("memory is only looked at where this machine is the node");
        return Ok(());
    }
    for app in ["client", "echo"] {
        let pod = mesh.pod(&format!("app={app}")).await?;
        let line = format!(
            "bash -c 'for p in $(grep -l {} /proc/[0-9]*/cgroup); do d=${{p%/cgroup}}; grep -q trysail-proxy $d/cmdline && grep VmHWM $d/status; done; true'",
            pod.uid()
        );
        let peaks = t.cluster.on_node(&line).await?;
        let peak =
            peaks.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).max().unwrap_or_default();
        t.step(format!("{}'s proxy reached {} MiB at most", pod.name(), peak / 1024));
        ensure!((1..=BOUND_KIB).contains(&peak), "the proxy of {} reached {peak} KiB", pod.name());
    }
    Ok(())
}
