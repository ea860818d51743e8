//! `trysailctl explain` from files, as a shell runs it.
#![expect(clippy::unwrap_used, reason = "all of it is a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trysailctl");

fn bookinfo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/bookinfo").join(name)
}

fn explain(files: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("explain").args(arguments);
    for file in files {
        command.arg("-f").arg(bookinfo(file));
    }
    command.output().unwrap()
}

fn page(files: &[&str], arguments: &[&str]) -> String {
    let output = explain(files, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert_eq!(complaint, "");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const CANARY: [&str; 3] = ["bookinfo.yaml", "destination-rules.yaml", "header-canary.yaml"];

#[test]
fn the_page_tells_the_whole_way_of_a_request() {
    let question = ["--from", "deploy/productpage", "--to", "reviews:9080", "--path", "/reviews/0"];
    assert_eq!(page(&CANARY, &question), include_str!("explain/everybody.txt"));
    let jason = [&question[..], &["-H", "end-user: jason"]].concat();
    assert_eq!(page(&CANARY, &jason), include_str!("explain/jason.txt"));
}

#[test]
fn a_gateway_is_asked_for_requests_from_outside() {
    let edge = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: edge, namespace: istio-system}\n\
                spec: {template: {metadata: {labels: {istio: ingressgateway}}, spec: {containers: []}}}\n";
    let folder = std::env::temp_dir().join(format!("trysailctl-explain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("edge.yaml"), edge).unwrap();
    let folder = folder.to_str().unwrap();
    let files = ["bookinfo.yaml", "gateway.yaml", folder];
    let found = page(&files, &["--from", "deploy/edge", "--to", "http://shop.example.com/login"]);
    assert!(
        found.contains(
            "=> sent to productpage.default.svc.cluster.local:9080 (VirtualService default/bookinfo, rule 0)"
        ),
        "{found}"
    );
    let missing = page(&files, &["--from", "deploy/edge", "--to", "http://shop.example.com/admin"]);
    assert!(missing.contains("=> 404: no rule for * takes the request"), "{missing}");
    assert!(missing.contains("path /admin does not begin with /static"), "{missing}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn values_are_for_programs() {
    let question = ["--from", "deploy/productpage", "--to", "reviews:9080", "-o", "json"];
    let value: serde_json::Value = serde_json::from_str(&page(&CANARY, &question)).unwrap();
    assert_eq!(value["rules"][1]["verdict"]["result"], "matched");
    assert_eq!(value["outcome"]["targets"][0]["subset"], "v1");
    let yaml = page(&CANARY, &["--from", "deploy/productpage", "--to", "reviews:9080", "-o", "yaml"]);
    assert!(yaml.contains("cluster: outbound|9080|v1|reviews.default.svc.cluster.local"), "{yaml}");
}

#[test]
fn what_the_question_gets_wrong_is_answered_with_what_was_meant() {
    let from = "deploy/productpage";
    for (arguments, expected) in [
        (
            ["--from", "deploy/prodctpage", "--to", "reviews:9080"],
            "no workload is called deploy/prodctpage; did you mean deploy/productpage-v1.default?",
        ),
        (
            ["--from", "deploy/productpage.shop", "--to", "reviews:9080"],
            "no workload is called deploy/productpage.shop; did you mean deploy/productpage-v1.default?",
        ),
        (["--from", "node/a", "--to", "reviews:9080"], "name a pod, deploy/NAME"),
        (["--from", from, "--to", "review:9080"], "did you mean reviews?"),
        (["--from", from, "--to", "reviews:80"], "has no port 80; it has 9080 (http)"),
        (["--from", from, "--to", "reviews:http"], "has no port from 1 to 65535"),
        (["--from", from, "--to", "https://reviews:9080"], "ask for reviews:9080 without https"),
    ] {
        let output = explain(&CANARY, &arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaint.contains(expected), "{arguments:?}: {complaint}");
    }
}
