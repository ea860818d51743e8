//! Injection without an API server: objects in JSON or YAML, pods and everything that has a pod template.
//! Used by `trysailctl kube-inject`, by the local mesh, and (pods only) by the webhook.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};
use serde_json::{Map, Value, json};

use super::{Decision, InjectContext, InjectError, SkipReason, diff, inject, warnings};

/// An object after injection.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// The object; as it was when nothing was injected.
    pub object: Value,
    /// Why nothing was injected. `None` as well for objects that have no pods.
    pub skipped: Option<SkipReason>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Where kinds keep their pod templates.
const TEMPLATES: [(&str, &[&str]); 7] = [
    ("Deployment", &["spec", "template"]),
    ("ReplicaSet", &["spec", "template"]),
    ("StatefulSet", &["spec", "template"]),
    ("DaemonSet", &["spec", "template"]),
    ("ReplicationController", &["spec", "template"]),
    ("Job", &["spec", "template"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

/// Injects every object of a YAML text, and gives back YAML. Objects without pods pass unchanged.
pub fn inject_document(text: &str, ctx: &InjectContext) -> Result<String, InjectError> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| not_a_pod(&error))?;
    let mut documents = Vec::new();
    for object in objects.into_iter().filter(|object| !object.is_null()) {
        let injected = inject_object(object, ctx)?;
        documents.push(serde_saphyr::to_string(&injected.object).map_err(|error| not_a_pod(&error))?);
    }
    Ok(documents.join("---\n"))
}

/// Injects a pod, a workload, or a List of them.
pub fn inject_object(object: Value, ctx: &InjectContext) -> Result<Injected, InjectError> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "Pod" {
        return inject_template(object, None, ctx);
    }
    if kind == "List" {
        return inject_list(object, ctx);
    }
    let Some((_, way)) = TEMPLATES.iter().find(|(name, _)| *name == kind) else {
        return Ok(Injected { object, skipped: None, warnings: Vec::new() });
    };
    let owner = Owner::of(&object, &kind);
    let mut object = object;
    let Some(template) = way.iter().try_fold(&mut object, |value, key| value.get_mut(*key)) else {
        return Err(InjectError::NotAPod(format!("{kind} {} has no {}", owner.name, way.join("."))));
    };
    let injected = inject_template(template.take(), Some(&owner), ctx)?;
    *template = injected.object;
    Ok(Injected { object, ..injected })
}

fn inject_list(mut list: Value, ctx: &InjectContext) -> Result<Injected, InjectError> {
    let mut warnings = Vec::new();
    for item in list.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        let injected = inject_object(item.take(), ctx)?;
        warnings.extend(injected.warnings);
        *item = injected.object;
    }
    Ok(Injected { object: list, skipped: None, warnings })
}

/// The object a template belongs to.
struct Owner {
    api_version: String,
    kind: String,
    name: String,
    namespace: Option<String>,
}

impl Owner {
    fn of(object: &Value, kind: &str) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let metadata = object.get("metadata");
        Self {
            api_version: text(object.get("apiVersion")).unwrap_or_default(),
            kind: kind.to_owned(),
            name: text(metadata.and_then(|meta| meta.get("name"))).unwrap_or_default(),
            namespace: text(metadata.and_then(|meta| meta.get("namespace"))),
        }
    }

    /// Makes a template look like the pod that its controller would create.
    fn adopt(&self, pod: &mut Pod) {
        let meta = &mut pod.metadata;
        meta.generate_name = Some(format!("{}-", self.name));
        meta.namespace = meta.namespace.take().or_else(|| self.namespace.clone());
        meta.owner_references = Some(vec![OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            controller: Some(true),
            ..Default::default()
        }]);
    }
}

/// Injects one pod or template. What we don't know of it stays.
fn inject_template(
    mut raw: Value,
    owner: Option<&Owner>,
    ctx: &InjectContext,
) -> Result<Injected, InjectError> {
    if let Value::Object(fields) = &mut raw {
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
    }
    let original = pod_from(raw.clone())?;
    let mut pod = original.clone();
    if let Some(owner) = owner {
        owner.adopt(&mut pod);
    }
    let warnings = warnings(&pod, ctx);
    let mut injected = match inject(pod, ctx)? {
        Decision::Injected(pod) => *pod,
        Decision::Skipped(reason) => {
            return Ok(Injected { object: raw, skipped: Some(reason), warnings: Vec::new() });
        }
    };
    injected.metadata.generate_name.clone_from(&original.metadata.generate_name);
    injected.metadata.namespace.clone_from(&original.metadata.namespace);
    injected.metadata.owner_references.clone_from(&original.metadata.owner_references);
    let value = |pod: &Pod| serde_json::to_value(pod).map_err(|error| not_a_pod(&error));
    let patch = diff(&value(&original)?, &value(&injected)?);
    json_patch::patch(&mut raw, &patch).map_err(|error| not_a_pod(&error))?;
    Ok(Injected { object: raw, skipped: None, warnings })
}

fn not_a_pod(error: &dyn std::fmt::Display) -> InjectError {
    InjectError::NotAPod(error.to_string())
}

/// Reads a pod as a person writes it.
pub(super) fn pod_from(mut value: Value) -> Result<Pod, InjectError> {
    write_quantities(&mut value);
    serde_path_to_error::deserialize(value)
        .map_err(|error| InjectError::NotAPod(format!("{}: {}", error.path(), error.inner())))
}

/// People write `cpu: 1`; the API server makes it the text it has to be.
fn write_quantities(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("limits" | "requests" | "overhead" | "capacity", Value::Object(list)) => texts(list),
                    ("sizeLimit" | "divisor", number @ Value::Number(_)) => {
                        *number = json!(number.to_string());
                    }
                    (_, value) => write_quantities(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_quantities),
        _ => {}
    }
}

fn texts(list: &mut Map<String, Value>) {
    for value in list.values_mut() {
        if value.is_number() {
            *value = json!(value.to_string());
        }
    }
}
