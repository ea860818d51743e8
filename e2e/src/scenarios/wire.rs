//! Scenario 4: what is really on the wire between two pods.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{
    namespace::{Injection, Namespace},
    shell,
    test::Test,
    wire::{self, Capture},
};

const SECRET: &str = "a-sentence-that-nobody-on-the-wire-may-read";

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-wire", Injection::Enabled).await?;
    let outside = t.namespace("e2e-wire-plain", Injection::None).await?;
    mesh.with_echo().await?;
    outside.with_echo().await?;

    t.step("the server learns its own and the client's identity from the handshake");
    let answer = mesh.fetch("http://echo:8080/").await?;
    let certificate = answer["text"]["peer_certificate"].as_str().unwrap_or_default();
    for identity in
        ["By=spiffe://cluster.local/ns/e2e-wire/sa/echo", "URI=spiffe://cluster.local/ns/e2e-wire/sa/client"]
    {
        ensure!(
            certificate.contains(identity),
            "{identity} is not in x-forwarded-client-cert: {certificate}"
        );
    }

    t.step("both proxies count the request as mutual TLS between these two");
    for (deployment, reporter) in [("client", "source"), ("echo-v1", "destination")] {
        counted(t, &mesh, deployment, reporter).await?;
    }

    t.step("PERMISSIVE: a pod without sidecar is served in plaintext");
    ensure!(plaintext(&outside).await?, "plaintext was refused under PERMISSIVE");

    t.step("STRICT: it is refused, and mesh pods are served as before");
    mesh.apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n").await?;
    t.eventually("plaintext is refused", Duration::from_secs(10), async || {
        ensure!(!plaintext(&outside).await?, "plaintext is still served");
        Ok(())
    })
    .await?;
    ensure!(mesh.fetch("http://echo:8080/").await?["status"] == 200, "a mesh pod was refused under STRICT");

    t.step("PERMISSIVE again: served again");
    mesh.kubectl("delete peerauthentication default").await?;
    t.eventually("plaintext is served", Duration::from_secs(10), async || {
        ensure!(plaintext(&outside).await?, "plaintext is still refused");
        Ok(())
    })
    .await?;

    captured(t, &mesh, &outside).await
}

/// Whether a pod outside the mesh gets an answer from the mesh's echo.
async fn plaintext(outside: &Namespace<'_>) -> Result<bool> {
    let line = "exec deploy/client -c client -- echo get --timeout 5s http://echo.e2e-wire:8080/";
    Ok(outside.kubectl(line).await.is_ok_and(|out| out.contains("\"status\":200")))
}

async fn counted(t: &Test, mesh: &Namespace<'_>, deployment: &str, reporter: &str) -> Result<()> {
    let mut wanted = vec![
        format!("reporter=\"{reporter}\""),
        "source_principal=\"spiffe://cluster.local/ns/e2e-wire/sa/client\"".to_owned(),
        "destination_principal=\"spiffe://cluster.local/ns/e2e-wire/sa/echo\"".to_owned(),
        "response_code=\"200\"".to_owned(),
    ];
    if reporter == "destination" {
        // The source leaves this to the destination, as Istio's does.
        wanted.push("connection_security_policy=\"mutual_tls\"".to_owned());
    }
    t.eventually("the request is in the metrics", Duration::from_secs(10), async || {
        let metrics = mesh.echo(deployment, "get http://127.0.0.1:15090/stats/prometheus").await?;
        let metrics = metrics["text"].as_str().unwrap_or_default();
        let lines: Vec<_> =
            metrics.lines().filter(|line| line.starts_with("istio_requests_total{")).collect();
        let found = lines.iter().any(|line| wanted.iter().all(|label| line.contains(label)));
        ensure!(found, "no line has {wanted:?} among\n{}", lines.join("\n"));
        Ok(())
    })
    .await
}

async fn captured(t: &Test, mesh: &Namespace<'_>, outside: &Namespace<'_>) -> Result<()> {
    t.needs_own_node("a capture in the pod's network namespace")?;
    t.sh("command -v tcpdump || apt-get install -y -qq tcpdump >/dev/null").await?;

    t.step("a capture in the server pod's namespace: TLS 1.3, not a byte of the body");
    let line = format!("--body {SECRET} http://echo:8080/");
    let capture = while_capturing(t, mesh, async || mesh.fetch(&line).await).await?;
    let hellos = capture.server_hellos(8080);
    ensure!(
        !hellos.is_empty(),
        "no TLS handshake in {} packets to and from port 8080",
        capture.packets.len()
    );
    ensure!(hellos.iter().all(|version| *version == wire::TLS_1_3), "TLS versions seen: {hellos:04x?}");
    ensure!(!capture.contains(SECRET.as_bytes()), "the body was on the wire in plaintext");

    t.step("the same capture sees plaintext where there is some");
    let line = format!("--body {SECRET} http://echo.e2e-wire:8080/");
    let capture = while_capturing(t, mesh, async || outside.fetch(&line).await).await?;
    ensure!(capture.contains(SECRET.as_bytes()), "the capture would not have seen plaintext");
    Ok(())
}

/// What passes the echo pod's network interface during a new connection's requests.
async fn while_capturing(
    t: &Test,
    mesh: &Namespace<'_>,
    request: impl AsyncFn() -> Result<serde_json::Value>,
) -> Result<Capture> {
    // Fresh proxies on both sides would have no handshake left to see: connections are kept.
    mesh.kubectl("rollout restart deploy/client").await?;
    mesh.rolled_out(&["deploy/client"]).await?;
    let pod = mesh.pod("app=echo").await?;
    let process =
        t.cluster.on_node(&format!("bash -c 'grep -l {} /proc/[0-9]*/cgroup | head -1'", pod.uid())).await?;
    let process = process.trim().trim_start_matches("/proc/").trim_end_matches("/cgroup").to_owned();
    ensure!(!process.is_empty(), "found no process of {}", pod.name());
    let script = crate::cluster::root().join("e2e/cluster/cluster");
    let line = format!(
        "{} exec nsenter --target {process} --net timeout --signal INT 4 tcpdump -i eth0 -U -s 0 -w - tcp",
        script.display()
    );
    let capturing = shell::spawn(t.cluster.environment(), &line)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let answer = request().await?;
        ensure!(answer["status"] == 200, "{answer}");
    }
    let output = capturing.wait_with_output().await?;
    Capture::read(&output.stdout)
        .with_context(|| format!("tcpdump said: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
