//! Whole objects, before and after. `INSTA_UPDATE=always cargo test -p trysail-webhook` writes the results anew.

use serde_json::Value;
use webhook::inject::InjectContext;

use crate::support::{injected, injector, template, yaml};

const FIXTURES: [(&str, &str); 6] = [
    ("web", include_str!("pods/web.yaml")),
    ("tuned", include_str!("pods/tuned.yaml")),
    ("custom-proxy", include_str!("pods/custom-proxy.yaml")),
    ("job", include_str!("pods/job.yaml")),
    ("gateway", include_str!("pods/gateway.yaml")),
    ("shell", include_str!("pods/shell.yaml")),
];

fn contexts() -> [(&'static str, InjectContext); 2] {
    [("native", injector("v1.34.4")), ("ordinary", injector("v1.28.0"))]
}

#[test]
fn pods_come_out_as_recorded() {
    for (name, text) in FIXTURES {
        for (server, ctx) in contexts() {
            let result = injected(&yaml(text), &ctx).object;
            let text = serde_saphyr::to_string(&result).unwrap();
            insta::assert_snapshot!(format!("{name}-{server}"), text);
        }
    }
}

#[test]
fn injecting_again_changes_nothing_even_by_another_injector() {
    for (name, text) in FIXTURES {
        let original = yaml(text);
        let [(_, native), (_, ordinary)] = contexts();
        let once = injected(&original, &native).object;
        assert_eq!(injected(&once, &native).object, once, "{name}");
        let elsewhere = injected(&once, &ordinary).object;
        assert_eq!(elsewhere, injected(&original, &ordinary).object, "{name}, by way of another injector");
    }
}

#[test]
fn fields_that_only_a_newer_server_knows_survive() {
    let mut pod = yaml(include_str!("pods/web.yaml"));
    let spec = &mut pod["spec"]["template"]["spec"];
    spec["newOfPod"] = Value::from("kept");
    spec["containers"][0]["newOfContainer"] = Value::from("kept");
    spec["initContainers"][0]["newOfInit"] = Value::from("kept");
    let result = injected(&pod, &injector("v1.34.4")).object;
    let spec = &template(&result)["spec"];
    assert_eq!(spec["newOfPod"], "kept");
    assert_eq!(spec["containers"][0]["newOfContainer"], "kept");
    let init = spec["initContainers"].as_array().unwrap();
    assert_eq!(init.iter().filter(|container| container["newOfInit"] == "kept").count(), 1);
    assert_eq!(init.last().unwrap()["name"], "migrate");
}
