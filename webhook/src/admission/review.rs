//! AdmissionReview of `admission.k8s.io/v1`: the parts of a request that are looked at, and the response.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::RequestProblem;

const API_VERSION: &str = "admission.k8s.io/v1";

/// The request of a review.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request {
    /// Identifies the request in the response.
    pub(super) uid: String,
    /// CREATE, UPDATE, DELETE or CONNECT.
    pub(super) operation: String,
    /// Namespace of the object, which a new object may not name itself.
    pub(super) namespace: Option<String>,
    /// The object as it would be stored.
    pub(super) object: Option<Value>,
    /// The object as it is stored.
    pub(super) old_object: Option<Value>,
}

impl Request {
    /// Reads a review.
    pub(super) fn read(body: &[u8]) -> Result<Self, RequestProblem> {
        let mut review: Value =
            serde_json::from_slice(body).map_err(|error| RequestProblem::NotJson(error.to_string()))?;
        let refuse = |problem: &str| Err(RequestProblem::NoReview(problem.to_owned()));
        match review.get("kind").and_then(Value::as_str) {
            Some("AdmissionReview") => {}
            Some(kind) => return refuse(&format!("kind is {}, not AdmissionReview", shorten(kind))),
            None => return refuse("kind is missing"),
        }
        match review.get("apiVersion").and_then(Value::as_str) {
            Some(API_VERSION) => {}
            Some(version) => return refuse(&format!("apiVersion is {}", shorten(version))),
            None => return refuse("apiVersion is missing"),
        }
        let request = review.get_mut("request").map(Value::take).filter(|request| !request.is_null());
        let Some(request) = request else { return refuse("request is missing") };
        let request: Self = serde_json::from_value(request)
            .map_err(|error| RequestProblem::NoReview(format!("request can't be read: {error}")))?;
        if request.uid.is_empty() {
            return refuse("request.uid is missing");
        }
        Ok(request)
    }

    /// An answer that lets the object pass.
    pub(super) fn allow(&self, warnings: Vec<String>) -> Answer {
        Answer { uid: self.uid.clone(), refusal: None, patch: None, warnings }
    }

    /// An answer that lets the object pass, changed.
    pub(super) fn patch(&self, patch: &json_patch::Patch, warnings: Vec<String>) -> Answer {
        let patch = serde_json::to_vec(patch).unwrap_or_default();
        Answer { patch: Some(patch), ..self.allow(warnings) }
    }

    /// An answer that keeps the object out.
    pub(super) fn deny(&self, message: impl ToString, warnings: Vec<String>) -> Answer {
        Answer { refusal: Some(message.to_string()), ..self.allow(warnings) }
    }
}

/// The part of a foreign text that fits into a message.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The response of a review.
#[derive(Debug)]
pub(super) struct Answer {
    uid: String,
    refusal: Option<String>,
    patch: Option<Vec<u8>>,
    warnings: Vec<String>,
}

impl Answer {
    /// The review that carries it.
    pub(super) fn to_review(&self) -> Value {
        let mut response = json!({ "uid": self.uid, "allowed": self.refusal.is_none() });
        if let Some(message) = &self.refusal {
            response["status"] =
                json!({ "status": "Failure", "message": message, "reason": "Invalid", "code": 422 });
        }
        if let Some(patch) = &self.patch {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch));
        }
        if !self.warnings.is_empty() {
            response["warnings"] = json!(self.warnings);
        }
        json!({ "apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response })
    }
}
