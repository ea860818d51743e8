//! Wrong objects: refused, with object, field and remedy.

use anyhow::{Result, ensure};

use crate::{namespace::Injection, test::Test};

/// What is wrong, the object, and what the refusal must say.
const REFUSED: &[(&str, &str, &[&str])] = &[
    (
        "a regular expression that is none",
        "kind: VirtualService\nspec: {hosts: [a], http: [{match: [{uri: {regex: '('}}], route: [{destination: {host: a}}]}]}",
        &["regex"],
    ),
    (
        "a negative weight",
        "kind: VirtualService\nspec: {hosts: [a], http: [{route: [{destination: {host: a}, weight: -1}, {destination: {host: b}, weight: 101}]}]}",
        &["weight"],
    ),
    (
        "a route without a destination",
        "kind: VirtualService\nspec: {hosts: [a], http: [{route: [{weight: 100}]}]}",
        &["destination"],
    ),
    ("a DestinationRule without a host", "kind: DestinationRule\nspec: {subsets: [{name: v1}]}", &["host"]),
    (
        "a Gateway port of no protocol",
        "kind: Gateway\nspec: {servers: [{port: {number: 80, name: x, protocol: HTPP}, hosts: ['*']}]}",
        &["protocol"],
    ),
];

/// The same for MeshInstalls.
const MESHES: &[(&str, &str, &[&str])] = &[
    (
        "a field that does not exist",
        "metadata: {name: other}\nspec: {namespace: other, profil: demo}",
        &["profil", "profile"],
    ),
    (
        "a profile that does not exist",
        "metadata: {name: other}\nspec: {namespace: other, profile: gigantic}",
        &["profile", "minimal"],
    ),
    (
        "no replicas of the control plane",
        "metadata: {name: other}\nspec: {namespace: other, components: {pilot: {k8s: {replicaCount: -1}}}}",
        &["replicaCount"],
    ),
    (
        "a second mesh in the same namespace",
        "metadata: {name: other}\nspec: {profile: minimal}",
        &["istio-system"],
    ),
];

pub(super) async fn run(t: &Test) -> Result<()> {
    let space = t.namespace("e2e-bad-input", Injection::None).await?;
    for (what, body, words) in REFUSED {
        t.step(format!("refused: {what}"));
        let yaml = format!("apiVersion: networking.istio.io/v1\nmetadata: {{name: wrong}}\n{body}\n");
        let said = space.refuses(&yaml).await?;
        named(&said, words)?;
    }

    for (what, body, words) in MESHES {
        t.step(format!("MeshInstall refused: {what}"));
        let yaml = format!("apiVersion: mesh.trysail.dev/v1alpha1\nkind: MeshInstall\n{body}\n");
        let said = t.try_apply(&yaml).await?;
        if said.success {
            t.sh("kubectl delete mi other --wait=false").await?;
        }
        ensure!(!said.success, "accepted: {yaml}");
        named(&said.err, words)?;
    }

    t.step(
        "a field that does not exist: refused by the API server, or by whom it lets pass told what was meant",
    );
    // Without hosts it could be meant as a delegate, which is why neither Istio nor we refuse it.
    let yaml = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: misspelt}\nspec: {host: a, http: [{route: [{destination: {host: a}}]}]}\n";
    let said = space.try_apply(yaml).await?;
    ensure!(!said.success && said.err.contains("spec.host"), "{}{}", said.out, said.err);
    let said = space.apply_with("--validate=ignore", yaml).await?;
    ensure!(said.success, "{}", said.err);
    named(&said.err, &["spec.host", "did you mean spec.hosts?"])?;

    t.step("accepted with a warning: a field of Istio's that has no effect yet");
    let said = space.apply("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: warned}\nspec: {host: a, trafficPolicy: {outlierDetection: {consecutiveErrors: 5}}}\n").await?;
    ensure!(said.contains("Warning:"), "no warning: {said}");

    t.step("the mesh stands as before");
    t.sh("kubectl wait --for=condition=Ready mi/default --timeout=10s").await?;
    Ok(())
}

fn named(said: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(said.contains(word), "the refusal does not say `{word}`: {said}");
    }
    Ok(())
}
