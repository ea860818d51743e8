//! A response taken apart: what to apply, and what must be acknowledged afterwards.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;

use super::interest::Interest;

/// Resources longer-named than this are not real.
const MAX_NAME: usize = 4096;

/// What a response changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// The type of all resources in it.
    pub type_url: &'static str,
    /// New resources and new versions of known ones.
    pub changed: Vec<Changed>,
    /// Names of resources that are gone, or that were asked for and don't exist.
    pub removed: Vec<String>,
}

/// A new or changed resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// Its name.
    pub name: String,
    /// Its version, opaque.
    pub version: String,
    /// The message; its type URL is that of the update.
    pub resource: Any,
}

/// A resource that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its name.
    pub name: String,
    /// For people: what is wrong with it.
    pub reason: String,
}

/// Proof that a response was received; give it back to settle it.
#[must_use = "a response that is never settled is never acknowledged, and the server waits for it"]
#[derive(Debug)]
pub struct Receipt {
    pub(super) type_url: &'static str,
    pub(super) stream: u64,
    pub(super) nonce: String,
    pub(super) versions: Vec<(String, String)>,
    pub(super) removed: Vec<String>,
    pub(super) rejected: Vec<Rejected>,
}

/// Separates what may be applied from what is malformed; drops what nobody wants any more.
pub(super) fn split(
    type_url: &'static str,
    stream: u64,
    response: DeltaDiscoveryResponse,
    interest: &Interest,
) -> (Update, Receipt) {
    let mut update =
        Update { type_url, changed: Vec::with_capacity(response.resources.len()), removed: Vec::new() };
    let mut rejected = Vec::new();
    let mut seen = BTreeSet::new();
    for resource in response.resources {
        match check(type_url, resource, &mut seen) {
            Ok(changed) if interest.wants(&changed.name) => update.changed.push(changed),
            Ok(_) => {}
            Err(problem) => rejected.push(problem),
        }
    }
    update.removed = response.removed_resources.into_iter().filter(|name| !seen.contains(name)).collect();
    let versions = update.changed.iter().map(|one| (one.name.clone(), one.version.clone())).collect();
    let removed = update.removed.clone();
    (update, Receipt { type_url, stream, nonce: response.nonce, versions, removed, rejected })
}

fn check(type_url: &str, resource: Resource, seen: &mut BTreeSet<String>) -> Result<Changed, Rejected> {
    let Resource { name, version, resource, .. } = resource;
    let problem = match &resource {
        _ if name.is_empty() => Some("a resource has no name".to_owned()),
        _ if name.len() > MAX_NAME => Some(format!("the name has more than {MAX_NAME} bytes")),
        _ if !seen.insert(name.clone()) => Some("the name occurs twice in one response".to_owned()),
        None => Some("the resource has no content".to_owned()),
        Some(any) if any.type_url != type_url => {
            Some(format!("its type is {:?}, not {type_url:?}", any.type_url))
        }
        Some(_) => None,
    };
    match (problem, resource) {
        (None, Some(resource)) => Ok(Changed { name, version, resource }),
        (problem, _) => {
            let name = name.chars().take(256).collect();
            Err(Rejected { name, reason: problem.unwrap_or_default() })
        }
    }
}
