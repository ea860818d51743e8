//! Garbage, slow and oversized bytes at the ports that anybody can reach, while
//! good requests pass.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    mesh::CONTROL_NAMESPACE,
    namespace::{Injection, Namespace},
    test::Test,
};

/// The first bytes of a TLS record of type handshake, as the shell writes them.
const HELLO: &str = "--patient --send $'\\x16\\x03\\x01\\x02'";
const SILENCE: &str = "--greeting";

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-hostile", Injection::Enabled).await?;
    let outside = t.namespace("e2e-hostile-plain", Injection::None).await?;
    mesh.with_echo().await?;
    outside.with_echo().await?;
    let echo = mesh.pod("app=echo").await?.ip().to_owned();
    let istiod = t
        .sh(format!("kubectl -n {CONTROL_NAMESPACE} get service istiod -o jsonpath='{{.spec.clusterIP}}'"))
        .await?;
    let load = mesh.load("--rps 50 http://echo:8080/").await?;

    for (port, address) in
        [("15006", &echo), ("15001", &echo), ("8080", &echo), ("15012", &istiod), ("443", &istiod)]
    {
        t.step(format!("garbage, a header of 10 MiB and silence at {port}"));
        attack(&outside, &format!("{address}:{port}")).await;
    }

    t.step("silence, and a hello that stops after its first bytes: closed within half a minute");
    tokio::try_join!(
        // Which is captured to 15006.
        slow(t, &outside.name, &echo, 8080, HELLO),
        slow(t, &outside.name, &istiod, 15012, SILENCE),
        slow(t, &outside.name, &istiod, 15012, HELLO),
        slow(t, &outside.name, &istiod, 443, SILENCE),
        slow(t, &outside.name, &istiod, 443, HELLO),
    )?;

    t.step("admission: what is no review, what is too big and what names no pod get an answer");
    for (what, arguments) in [
        ("not JSON", "--body 'not json'"),
        ("10 MiB", "--body-bytes 10MiB"),
        (
            "no pod",
            "--body '{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"1\"}}'",
        ),
    ] {
        let line =
            format!("-X POST -H 'content-type: application/json' {arguments} https://{istiod}:443/inject");
        let answer = outside.fetch(&line).await?;
        let status = answer["status"].as_u64().unwrap_or_default();
        let refused = (400..500).contains(&status) || answer["text"]["response"]["allowed"] == false;
        ensure!(refused, "{what}: {answer}");
    }

    t.step("all the while good requests passed, and nothing was restarted");
    load.stop_without_failures().await?;
    t.nothing_restarted(&[&mesh.name, CONTROL_NAMESPACE]).await
}

/// Says nothing more than this; the other end must hang up, neither at once nor late.
async fn slow(t: &Test, outside: &str, address: &str, port: u16, arguments: &str) -> Result<()> {
    let started = Instant::now();
    let said = t
        .attempt(format!(
            "kubectl -n {outside} exec deploy/client -c client -- \
             echo tcp {address}:{port} {arguments} --timeout 40s"
        ))
        .await?;
    let took = started.elapsed();
    // It may end with a reset, which the client reports as an error.
    ensure!(!said.err.contains("took more than"), "{port} waits on after {took:?}: {arguments}");
    let range = Duration::from_secs(5)..Duration::from_secs(30);
    ensure!(range.contains(&took), "{port} took {took:?} to give up {arguments}: {}{}", said.out, said.err);
    Ok(())
}

/// Whatever comes back, or nothing, is fine: that the others live on is asked later.
async fn attack(outside: &Namespace<'_>, address: &str) {
    for arguments in [
        "--bytes 1MiB --timeout 5s".to_owned(),
        "--send 'GET / HTTP/1.1\r\nhost: x\r\nx-long: ' --bytes 10MiB --timeout 5s".to_owned(),
        "--send 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' --bytes 1MiB --timeout 5s".to_owned(),
        "--greeting --timeout 2s".to_owned(),
    ] {
        let line = format!("exec deploy/client -c client -- echo tcp {address} {arguments}");
        let _ = outside.kubectl(line).await;
    }
}
