//! TLS at the ingress gateway: certificates from Secrets, RSA and ECDSA, rotated under load from outside.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use samples::client::{Answer, Route, Template, send};

use crate::{load::OutsideLoad, mesh::CONTROL_NAMESPACE, namespace::Injection, outside, test::Test};

/// Each with a Secret of its own, `both` with the two of them.
const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https-rsa, protocol: HTTPS}
    hosts: [rsa.shop.test]
    tls: {mode: SIMPLE, credentialName: e2e-rsa}
  - port: {number: 443, name: https-ecdsa, protocol: HTTPS}
    hosts: [ecdsa.shop.test]
    tls: {mode: SIMPLE, credentialName: e2e-ecdsa}
  - port: {number: 443, name: https-both, protocol: HTTPS}
    hosts: [both.shop.test]
    tls: {mode: SIMPLE, credentialNames: [e2e-rsa, e2e-ecdsa]}
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*.shop.test']
    tls: {httpsRedirect: true}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ['*.shop.test']
  gateways: [shop]
  http: [{route: [{destination: {host: echo, port: {number: 8080}}}]}]
";
/// Name of the Secret, and what `openssl req` makes its key with.
const KEYS: [(&str, &str); 2] = [("rsa", "rsa:2048"), ("ecdsa", "ec -pkeyopt ec_paramgen_curve:P-256")];
const ROTATIONS: usize = 3;

pub(super) async fn run(t: &Test) -> Result<()> {
    let outcome = scenario(t).await;
    t.sh(format!("kubectl -n {CONTROL_NAMESPACE} delete secret e2e-rsa e2e-ecdsa --ignore-not-found"))
        .await?;
    outcome
}

async fn scenario(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-gateway-tls", Injection::Enabled).await?;
    mesh.with_echo().await?;
    t.step(
        "kubectl create secret tls, of an RSA and an ECDSA key; kubectl apply of a Gateway that names them",
    );
    let mut certificates = [new_secret(t, 0).await?, new_secret(t, 1).await?];
    mesh.apply(GATEWAY).await?;
    let secure = outside::address(t, CONTROL_NAMESPACE, "istio-ingressgateway", 443).await?;
    let plain = outside::address(t, CONTROL_NAMESPACE, "istio-ingressgateway", 80).await?;

    t.step("each host shows its own certificate, and answers");
    let [rsa, ecdsa] = &certificates;
    for (host, trusted) in [("rsa", rsa), ("ecdsa", ecdsa), ("both", ecdsa)] {
        t.eventually("the gateway serves it", Duration::from_secs(15), async || {
            let answer = get(&secure, host, trusted).await?;
            ensure!(answer.status == 200, "{host}: {}", answer.status);
            Ok(())
        })
        .await?;
    }
    ensure!(get(&secure, "rsa", ecdsa).await.is_err(), "one host showed the other's certificate");

    t.step("with both on one host, the client's signature algorithms decide");
    for (algorithm, shown) in [("rsa_pss_rsae_sha256", "RSA"), ("ecdsa_secp256r1_sha256", "ECDSA")] {
        let line = format!(
            "openssl s_client -connect {secure} -servername both.shop.test -sigalgs {algorithm} </dev/null 2>&1"
        );
        let said = t.attempt(&line).await?.out;
        let kind = said.lines().find(|line| line.starts_with("Peer signature type:")).unwrap_or("none");
        ensure!(kind.to_uppercase().contains(shown), "a client of {algorithm} was shown {kind}:\n{said}");
    }

    t.step("a name that no server has, and none at all, are refused in the handshake");
    for name in ["-servername other.example.test", "-noservername"] {
        let said = t.attempt(format!("openssl s_client -connect {secure} {name} </dev/null 2>&1")).await?;
        ensure!(!said.success && !said.out.contains("BEGIN CERTIFICATE"), "{name}: {}", said.out);
    }
    ensure!(get(&secure, "rsa", rsa).await?.status == 200, "the right name is refused as well");

    t.step("httpsRedirect: http is sent to https");
    let to = Route { connect_to: Some(plain.clone()), ..Route::default() };
    let answer = send(&Template::get("http://rsa.shop.test/a?b=c")?, &to, Duration::from_secs(5)).await?;
    let location = answer.headers.get("location").map(String::as_str);
    ensure!(
        answer.status == 301 && location == Some("https://rsa.shop.test/a?b=c"),
        "{} to {location:?}",
        answer.status
    );

    rotation(t, &secure, &mut certificates).await
}

async fn rotation(t: &Test, address: &str, certificates: &mut [String; 2]) -> Result<()> {
    t.step("load from outside, on connections that last and on a new one for each request");
    let route = || Route { connect_to: Some(address.to_owned()), ..Route::default() };
    let mut loads = Vec::new();
    for host in ["rsa", "ecdsa"] {
        let template = Template::get(&format!("https://{host}.shop.test/"))?;
        loads.push(OutsideLoad::start(template.clone(), route(), 50.0));
        loads.push(OutsideLoad::start(template.header("connection", "close")?, route(), 25.0));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 1..=ROTATIONS {
        for (index, (host, _)) in KEYS.iter().enumerate() {
            let new = new_secret(t, index).await?;
            let old = std::mem::replace(&mut certificates[index], new);
            t.eventually("new connections see the new certificate", Duration::from_secs(10), async || {
                get(address, host, &certificates[index]).await
            })
            .await?;
            ensure!(get(address, host, &old).await.is_err(), "{host}: the old certificate is still shown");
            t.step(format!("rotation {number}: new connections to {host}.shop.test see the new certificate"));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut requests = 0;
    for load in loads {
        requests += load.stop_without_failures().await?.requests;
    }
    t.step(format!("{requests} requests, none failed"));
    Ok(())
}

/// Asks a host on a new connection, and believes nothing but this certificate.
async fn get(address: &str, host: &str, trusted: &str) -> Result<Answer> {
    let route =
        Route { connect_to: Some(address.to_owned()), trust: Some(trusted.to_owned()), ..Route::default() };
    send(&Template::get(&format!("https://{host}.shop.test/"))?, &route, Duration::from_secs(5)).await
}

/// Makes a key and a certificate and puts them into the Secret; returns the certificate.
async fn new_secret(t: &Test, index: usize) -> Result<String> {
    let (name, key) = KEYS[index];
    let line = format!(
        "set -e; d=$(mktemp -d); trap 'rm -r $d' EXIT
         openssl req -x509 -nodes -newkey {key} -keyout $d/key -out $d/crt -days 1 -subj /CN={name} \
           -addext subjectAltName=DNS:*.shop.test -addext basicConstraints=critical,CA:FALSE 2>/dev/null
         kubectl -n {CONTROL_NAMESPACE} create secret tls e2e-{name} --cert=$d/crt --key=$d/key --dry-run=client -o yaml \
           | kubectl apply -f - >/dev/null
         cat $d/crt"
    );
    t.sh(&line).await.context("making a certificate")
}
