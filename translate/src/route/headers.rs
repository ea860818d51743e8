//! Headers that a route sets, adds and removes.

use std::collections::BTreeMap;

use crds::networking::Headers;

use crate::proto::core::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction};

/// Header operations in Envoy's form.
#[derive(Debug, Default)]
pub(super) struct Operations {
    pub(super) request_add: Vec<HeaderValueOption>,
    pub(super) request_remove: Vec<String>,
    pub(super) response_add: Vec<HeaderValueOption>,
    pub(super) response_remove: Vec<String>,
    /// `Host` cannot be set like other headers: it is a rewrite.
    pub(super) authority: Option<String>,
}

/// Translates header operations.
pub(super) fn operations(headers: Option<&Headers>) -> Operations {
    let Some(headers) = headers else { return Operations::default() };
    let mut operations = Operations::default();
    if let Some(request) = &headers.request {
        operations.request_add = both(&request.set, &request.add);
        operations.request_remove = removable(&request.remove);
        operations.authority = authority(&request.set).or_else(|| authority(&request.add));
    }
    if let Some(response) = &headers.response {
        operations.response_add = both(&response.set, &response.add);
        operations.response_remove = removable(&response.remove);
    }
    operations
}

fn both(set: &BTreeMap<String, String>, add: &BTreeMap<String, String>) -> Vec<HeaderValueOption> {
    let set = options(set, HeaderAppendAction::OverwriteIfExistsOrAdd);
    set.chain(options(add, HeaderAppendAction::AppendIfExistsOrAdd)).collect()
}

fn options(
    headers: &BTreeMap<String, String>,
    action: HeaderAppendAction,
) -> impl Iterator<Item = HeaderValueOption> {
    // Whoever wrote what no proxy takes is told by `model::findings`.
    let taken = headers
        .iter()
        .filter(|(name, value)| !is_internal(name) && model::header_problem(name, value).is_none());
    taken.map(move |(name, value)| HeaderValueOption {
        header: Some(HeaderValue { key: name.clone(), value: value.clone(), ..Default::default() }),
        append_action: action.into(),
        ..Default::default()
    })
}

fn removable(names: &[String]) -> Vec<String> {
    let taken = |name: &&String| !is_internal(name) && model::header_name_problem(name).is_none();
    names.iter().filter(taken).cloned().collect()
}

/// Envoy refuses to have these changed as headers.
fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

fn authority(headers: &BTreeMap<String, String>) -> Option<String> {
    let is_authority =
        |name: &str| name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host");
    headers.iter().find(|(name, _)| is_authority(name)).map(|(_, value)| value.clone())
}
