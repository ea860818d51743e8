//! What people are told: warnings when they apply, which rule a request meets, where an Ingress can be reached.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    namespace::Injection,
    test::{Test, trysailctl},
};

const RULES: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo}
spec: {host: echo, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
  - name: jason
    match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: echo, subset: v1}}]
  - name: others
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: echo}}]
";

const MISSPELT: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: misspelt}
spec:
  hosts: [other.example.com]
  http: [{route: [{destination: {host: ehco}}]}]
";

const HOST: &str = "advice.example.com";

fn ingress() -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: echo, annotations: \
         {{kubernetes.io/ingress.class: istio}}}}\nspec:\n  rules:\n  - host: {HOST}\n    http:\n      paths:\n      \
         - {{pathType: Prefix, path: /, backend: {{service: {{name: echo, port: {{name: http}}}}}}}}\n"
    )
}

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-advice", Injection::Enabled).await?;
    mesh.with_echo().await?;

    t.step("kubectl apply of a rule for a service that isn't there: it is stored, with a warning that knows better");
    let said = mesh.apply(MISSPELT).await?;
    let warning = said.lines().find(|line| line.starts_with("Warning: ")).unwrap_or_default();
    t.step(format!("  {warning}"));
    for word in ["spec.http[0].route[0].destination.host", "ehco", "did you mean", "echo"] {
        ensure!(warning.contains(word), "no {word:?} in: {said}");
    }
    mesh.kubectl("delete virtualservice misspelt").await?;

    t.step("trysailctl explain: the rule of a request and the rule of another, and what becomes of both");
    ensure!(!mesh.apply(RULES).await?.contains("Warning"), "rules without fault were warned of");
    mesh.kubectl("wait --for=condition=Programmed vs/echo dr/echo --timeout=30s").await?;
    let explain = format!("explain -n {} --from deploy/client --to echo:8080", mesh.name);
    let jason = trysailctl(t, &format!("{explain} -H 'end-user: jason'")).await?;
    let pod = mesh.pod("app=echo").await?;
    for word in ["jason", "subset v1", pod.ip(), "DestinationRule"] {
        ensure!(jason.contains(word), "no {word:?} in:\n{jason}");
    }
    let other = trysailctl(t, &explain).await?;
    for word in ["others", "end-user", "418"] {
        ensure!(other.contains(word), "no {word:?} in:\n{other}");
    }
    ensure!(mesh.fetch("-H end-user:jason http://echo:8080/").await?["status"] == 200);
    ensure!(mesh.fetch("http://echo:8080/").await?["status"] == 418);
    mesh.kubectl("delete virtualservice echo").await?;

    t.step("an Ingress of class istio gets the gateway's address, and answers there");
    mesh.apply(&ingress()).await?;
    let gateway = t.gateway().await?;
    t.eventually("the Ingress has the gateway's address", Duration::from_secs(20), async || {
        let path = "jsonpath='{.status.loadBalancer.ingress[0].ip}'";
        let address = mesh.kubectl(format!("get ingress echo -o {path}")).await?;
        ensure!(!address.is_empty() && gateway.url.contains(&address), "{address:?} is not {}", gateway.url);
        Ok(())
    })
    .await?;
    t.eventually("it answers", Duration::from_secs(20), async || {
        let answer = gateway.get_at(HOST, "/").await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await?;
    ensure!(gateway.get_at("nobody.example.com", "/").await?.status == 404);
    Ok(())
}
