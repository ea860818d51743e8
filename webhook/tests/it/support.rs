//! What the tests share: fixtures and contexts.

use serde_json::Value;
use webhook::inject::{InjectContext, Injected, ServerVersion, inject_object};

/// The injector of a mesh with Istio's defaults on a server of this version.
pub(crate) fn injector(server: &str) -> InjectContext {
    InjectContext::read("", "", r#"{"global": {"hub": "example.io/mesh", "tag": "1.0"}}"#, "")
        .unwrap()
        .for_server(ServerVersion::parse(server))
}

/// Reads one YAML document.
pub(crate) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Injects, and insists that it works.
pub(crate) fn injected(object: &Value, ctx: &InjectContext) -> Injected {
    inject_object(object.clone(), ctx).unwrap_or_else(|error| panic!("{error}"))
}

/// The pod template of a workload, or the pod itself.
pub(crate) fn template(object: &Value) -> &Value {
    object.pointer("/spec/template").unwrap_or(object)
}

/// The containers of a pod by name, init containers first.
pub(crate) fn container<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let spec = &template(object)["spec"];
    let lists = [&spec["initContainers"], &spec["containers"]];
    lists.into_iter().filter_map(Value::as_array).flatten().find(|container| container["name"] == name)
}

/// Names of the containers under a key.
pub(crate) fn names(object: &Value, list: &str) -> Vec<String> {
    let containers = template(object)["spec"][list].as_array().into_iter().flatten();
    containers.map(|container| container["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The value of a container's environment variable.
pub(crate) fn variable(container: &Value, name: &str) -> Option<String> {
    let variables = container["env"].as_array()?;
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str().map(str::to_owned)
}
