//! Objects say what became of them: when every proxy has them, what they name that isn't there, whom they lost to.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    namespace::{Injection, Namespace},
    test::Test,
};

const DESTINATION_RULE: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo}
spec: {host: echo, subsets: [{name: v1, labels: {version: v1}}]}
";

const CONDITIONS: [&str; 3] = ["Accepted", "ResolvedRefs", "Programmed"];
/// How often the rule is edited.
const EDITS: usize = 10;
/// For so long nothing may be written that says nothing new.
const QUIET: Duration = Duration::from_secs(30);
/// Wording follows facts within seconds: the older object's note about the younger one.
const WORDING: Duration = Duration::from_secs(8);

/// A VirtualService that sends a host to the echo's subset, and leaves a mark on answers.
fn rule(name: &str, host: &str, subset: &str, mark: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec:\n  \
         hosts: [{host}]\n  http:\n  - route: [{{destination: {{host: echo, subset: {subset}}}}}]\n    \
         headers: {{response: {{set: {{x-rule: '{mark}'}}}}}}\n"
    )
}

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-status", Injection::Enabled).await?;
    mesh.with_echo().await?;

    t.step(
        "VirtualService and DestinationRule; kubectl wait --for=condition=Programmed; the next request obeys",
    );
    mesh.apply(DESTINATION_RULE).await?;
    for edit in 0..EDITS {
        mesh.apply(&rule("echo", "echo", "v1", &format!("edit-{edit}"))).await?;
        wait(&mesh, "Programmed", "vs/echo dr/echo").await?;
        let answer = mesh.fetch("http://echo:8080/").await?;
        let mark = &answer["headers"]["x-rule"];
        ensure!(
            mark == &format!("edit-{edit}"),
            "edit {edit} was Programmed, and the answer has {mark}: {answer}"
        );
    }
    for object in ["virtualservice/echo", "destinationrule/echo"] {
        let status = status(t, &mesh, object).await?;
        for condition in CONDITIONS {
            ensure!(of(&status, condition)["status"] == "True", "{object}: {status:#}");
        }
        ensure!(
            of(&status, "Programmed")["message"].as_str().is_some_and(|m| m.contains("proxies have it")),
            "{status:#}"
        );
    }

    t.step("a ServiceEntry without addresses: its host gets some, and keeps them over an edit");
    mesh.apply(&entry(5432)).await?;
    let given = addresses(t, &mesh).await?;
    t.step(format!("  {given}"));
    mesh.apply(&entry(5433)).await?;
    wait(&mesh, "Programmed", "se/outside").await?;
    ensure!(addresses(t, &mesh).await? == given, "an edit changed {given}");

    t.step("a subset that does not exist: ResolvedRefs is False and names it");
    mesh.apply(&rule("dangling", "dangling.example.com", "v9", "never")).await?;
    wait(&mesh, "ResolvedRefs=False", "vs/dangling").await?;
    says(t, &mesh, "virtualservice/dangling", "ResolvedRefs", &["v9", "echo"]).await?;
    mesh.kubectl("delete virtualservice dangling").await?;

    t.step("two VirtualServices for one host: the younger says whom it lost to");
    mesh.apply(&rule("younger", "echo", "v1", "younger")).await?;
    wait(&mesh, "Accepted=False", "vs/younger").await?;
    says(t, &mesh, "virtualservice/younger", "Accepted", &["echo"]).await?;
    let older = status(t, &mesh, "virtualservice/echo").await?;
    ensure!(of(&older, "Accepted")["status"] == "True", "the older one: {older:#}");

    t.step(format!("pods come and go for {} s: no status is written that says nothing new", QUIET.as_secs()));
    tokio::time::sleep(WORDING).await;
    let before = versions(t, &mesh).await?;
    mesh.kubectl("scale deploy/echo-v1 --replicas=2").await?;
    mesh.rolled_out(&["deploy/echo-v1"]).await?;
    mesh.kubectl("scale deploy/echo-v1 --replicas=1").await?;
    tokio::time::sleep(QUIET).await;
    let after = versions(t, &mesh).await?;
    ensure!(
        before == after,
        "{before:?} became {after:?}: {:#}",
        status(t, &mesh, "virtualservice/echo").await?
    );

    t.step("the older one goes: the younger is accepted and in force");
    mesh.kubectl("delete virtualservice echo").await?;
    wait(&mesh, "Programmed", "vs/younger").await?;
    let answer = mesh.fetch("http://echo:8080/").await?;
    ensure!(answer["headers"]["x-rule"] == "younger", "{answer}");
    Ok(())
}

fn entry(port: u16) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: outside}}\nspec:\n  \
         hosts: [db.example.com]\n  resolution: STATIC\n  endpoints: [{{address: 192.0.2.1}}]\n  \
         ports: [{{number: {port}, name: tcp, protocol: TCP}}]\n"
    )
}

/// The addresses that the mesh gave to the host of the entry.
async fn addresses(t: &Test, mesh: &Namespace<'_>) -> Result<Value> {
    t.eventually("the entry has addresses", Duration::from_secs(10), async || {
        let status = status(t, mesh, "serviceentry/outside").await?;
        let all = &status["addresses"];
        ensure!(all.as_array().is_some_and(|all| all.len() == 2), "{status}");
        Ok(all.clone())
    })
    .await
}

async fn wait(mesh: &Namespace<'_>, condition: &str, objects: &str) -> Result<()> {
    mesh.kubectl(format!("wait --for=condition={condition} {objects} --timeout=30s")).await?;
    Ok(())
}

async fn status(t: &Test, mesh: &Namespace<'_>, object: &str) -> Result<Value> {
    Ok(t.get(&format!("-n {} {object}", mesh.name)).await?["status"].clone())
}

fn of<'s>(status: &'s Value, condition: &str) -> &'s Value {
    let all = status["conditions"].as_array().into_iter().flatten();
    all.into_iter().find(|one| one["type"] == condition).unwrap_or(&Value::Null)
}

/// The message of a condition has these words.
async fn says(t: &Test, mesh: &Namespace<'_>, object: &str, condition: &str, words: &[&str]) -> Result<()> {
    let status = status(t, mesh, object).await?;
    let message = of(&status, condition)["message"].as_str().context("no message")?;
    t.step(format!("  {message}"));
    for word in words {
        ensure!(message.contains(word), "{object} does not say {word:?}: {message}");
    }
    Ok(())
}

/// Names and resource versions of everything that has a status here.
async fn versions(t: &Test, mesh: &Namespace<'_>) -> Result<Vec<(String, String)>> {
    let list = t.get(&format!("-n {} virtualservices,destinationrules", mesh.name)).await?;
    let text = |one: &Value, field: &str| one["metadata"][field].as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.iter().map(|one| (text(one, "name"), text(one, "resourceVersion"))).collect())
}
