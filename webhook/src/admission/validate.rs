//! `/validate`: an object in, errors and warnings out.

use crds::Problem;
use serde_json::Value;

use super::{
    ValidationMetrics,
    review::{Answer, Request},
};
use crate::validate::validate;

/// kubectl shows 256 characters of a warning, and a few warnings.
const LONGEST_WARNING: usize = 256;
const MOST_WARNINGS: usize = 20;

/// Judges an object by more than the object itself.
pub trait Judge: Clone + Send + Sync + 'static {
    /// What speaks against an object that is valid by itself; `old` is the object it replaces.
    fn objections(&self, object: &Value, old: Option<&Value>) -> impl Future<Output = Vec<Problem>> + Send;

    /// What will probably surprise about an object that is valid, besides what the object says by itself. Quick, and
    /// asked once for each object.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }
}

/// An object that is valid by itself is valid.
impl Judge for () {
    async fn objections(&self, _: &Value, _: Option<&Value>) -> Vec<Problem> {
        Vec::new()
    }
}

/// Answers a review of an object.
pub(super) async fn answer(request: &Request, judge: &impl Judge, metrics: &ValidationMetrics) -> Answer {
    let Some(object) = &request.object else {
        if request.operation == "DELETE" {
            return request.allow(Vec::new());
        }
        metrics.unreadable_review();
        return request.deny("request.object is missing; there is nothing to validate", Vec::new());
    };
    if object.get("kind").and_then(Value::as_str).is_none() {
        metrics.unreadable_review();
        return request.deny("request.object has no kind; there is nothing to validate", Vec::new());
    }
    // Whoever removes the last finalizer must not be stopped by an old object's errors.
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return request.allow(Vec::new());
    }
    let old = request.old_object.as_ref();
    let mut verdict = validate(object, old);
    if verdict.is_accepted() {
        verdict.errors = judge.objections(object, old).await;
    }
    if verdict.is_accepted() {
        let more = judge.warnings(object).into_iter().filter(|warning| !verdict.warnings.contains(warning));
        let more: Vec<_> = more.collect();
        // What the mesh lacks is seldom meant; it comes before what is only deprecated or passed over.
        verdict.warnings.splice(0..0, more);
    }
    let warnings = verdict.warnings.iter().take(MOST_WARNINGS).map(|warning| shorten(warning)).collect();
    if verdict.is_accepted() {
        metrics.validated(object, true);
        return request.allow(warnings);
    }
    metrics.validated(object, false);
    let refusal = verdict.refusal(object);
    tracing::info!(namespace = request.namespace, "object refused: {refusal}");
    request.deny(refusal, warnings)
}

fn shorten(warning: &str) -> String {
    if warning.chars().count() <= LONGEST_WARNING {
        return warning.to_owned();
    }
    let start: String = warning.chars().take(LONGEST_WARNING - 1).collect();
    format!("{start}…")
}
