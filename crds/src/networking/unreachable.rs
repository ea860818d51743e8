//! Rules that no request can reach, because an earlier one takes everything they could match.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{HttpMatchRequest, VirtualServiceSpec};
use crate::Problem;

/// Pairs of conditions are compared; beyond this many of them only exact duplicates are looked for.
const COMPARED: usize = 200;
/// A person mends a few rules at a time; the answer to a hostile object stays small.
const MOST: usize = 50;

/// Rules and conditions of a VirtualService that are never used, each with the earlier one that takes its requests.
pub fn unreachable_rules(spec: &VirtualServiceSpec) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    rules(
        "http",
        spec.http.iter().map(|route| (route.name.as_deref(), route.matches.as_slice())),
        &mut found,
    );
    rules("tls", spec.tls.iter().map(|route| (None, route.matches.as_slice())), &mut found);
    rules("tcp", spec.tcp.iter().map(|route| (None, route.matches.as_slice())), &mut found);
    covered(spec, &mut found);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, field: String, message: String) {
        if self.0.len() < MOST {
            self.0.push(Problem { field, message });
        }
    }
}

/// Rules after one without conditions, and conditions that an earlier rule has too.
fn rules<'a, M: Serialize + 'a>(
    list: &str,
    routes: impl Iterator<Item = (Option<&'a str>, &'a [M])>,
    found: &mut Found,
) {
    let mut catch_all = None;
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (index, (name, matches)) in routes.enumerate() {
        let here = format!("spec.{list}[{index}]");
        if let Some(earlier) = &catch_all {
            found.add(here, format!("is never reached: {earlier} before it takes everything"));
            continue;
        }
        let shown =
            name.map_or_else(|| format!("{list}[{index}]"), |name| format!("{list}[{index}] ({name})"));
        if matches.is_empty() {
            catch_all = Some(shown);
            continue;
        }
        for (index, condition) in matches.iter().enumerate() {
            match seen.get(&without_name(condition)) {
                Some(earlier) => {
                    found.add(
                        format!("{here}.match[{index}]"),
                        format!("is never used: {earlier} has the same condition"),
                    );
                }
                None => drop(seen.insert(without_name(condition), shown.clone())),
            }
        }
    }
}

fn without_name(condition: &impl Serialize) -> String {
    let mut value = serde_json::to_value(condition).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.remove("name");
    }
    value.to_string()
}

/// Conditions on a path that an earlier, shorter prefix with otherwise fewer conditions covers.
fn covered(spec: &VirtualServiceSpec, found: &mut Found) {
    let all = spec.http.iter().enumerate().flat_map(|(rule, route)| {
        route.matches.iter().enumerate().map(move |(index, condition)| (rule, index, condition))
    });
    let conditions: Vec<(usize, usize, &HttpMatchRequest, Value)> = all
        .take(COMPARED)
        .map(|(rule, index, condition)| {
            (rule, index, condition, serde_json::to_value(condition).unwrap_or_default())
        })
        .collect();
    for (position, (rule, index, later, later_value)) in conditions.iter().enumerate() {
        let covers = |(_, _, earlier, earlier_value): &&(usize, usize, &HttpMatchRequest, Value)| {
            earlier_value != later_value && takes_all_of(earlier, earlier_value, later, later_value)
        };
        if let Some((by_rule, by_index, by, _)) = conditions[..position].iter().find(covers) {
            let prefix = by.uri.as_ref().and_then(|uri| uri.prefix.as_deref()).unwrap_or_default();
            found.add(
                format!("spec.http[{rule}].match[{index}]"),
                format!(
                    "is never used: http[{by_rule}].match[{by_index}] with prefix {prefix:?} takes all of it"
                ),
            );
        }
    }
}

fn takes_all_of(
    earlier: &HttpMatchRequest,
    earlier_value: &Value,
    later: &HttpMatchRequest,
    later_value: &Value,
) -> bool {
    let Some(prefix) = earlier.uri.as_ref().and_then(|uri| uri.prefix.as_deref()) else { return false };
    let Some(path) = later.uri.as_ref().and_then(|uri| uri.prefix.as_deref().or(uri.exact.as_deref())) else {
        return false;
    };
    // Each condition of the earlier one must be one of the later one's as well.
    let other = |name: &String| !matches!(name.as_str(), "uri" | "name" | "statPrefix");
    path.starts_with(prefix)
        && earlier.ignore_uri_case == later.ignore_uri_case
        && earlier_value.as_object().into_iter().flatten().filter(|(name, _)| other(name)).all(
            |(name, condition)| match (condition, later_value.get(name)) {
                (Value::Object(few), Some(Value::Object(many)))
                    if name != "method" && name != "scheme" && name != "authority" =>
                {
                    few.iter().all(|(key, condition)| many.get(key) == Some(condition))
                }
                (condition, later) => later == Some(condition),
            },
        )
}
