//! Header edits: fills in values and applies them.

use http::{HeaderMap, HeaderValue, header::Entry};

use crate::{
    request::{
        head::{Head, text},
        outcome::Outcome,
    },
    snapshot::headers::{Append, HeaderEdits, Operator, Part, Template, Value},
};

/// What values are filled in from.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What is known of the request so far.
    pub outcome: &'a Outcome,
    /// The request's head.
    pub head: &'a Head,
    /// The response's headers, once there are some.
    pub response: Option<&'a HeaderMap>,
    /// The name of this host.
    pub hostname: &'a str,
}

/// Edits a request. Removals come first, as in Envoy.
pub fn edit_request(edits: &HeaderEdits, head: &mut Head, outcome: &Outcome, hostname: &str) {
    let Some(edits) = edits.get() else { return };
    for name in &edits.remove {
        head.headers.remove(name);
    }
    for write in &edits.write {
        let facts = Facts { outcome, head, response: None, hostname };
        let value = fill(&write.value, facts);
        put(&mut head.headers, &write.name, value, write.append, write.keep_empty);
    }
    if let Some(value) = &edits.authority {
        let value = fill(value, Facts { outcome, head, response: None, hostname });
        super::rewrite::set_authority(head, text(value.as_ref()), false);
    }
}

/// Edits the response to a request whose head was this when it was sent on.
pub fn edit_response(
    edits: &HeaderEdits,
    response: &mut HeaderMap,
    head: &Head,
    outcome: &Outcome,
    hostname: &str,
) {
    let Some(edits) = edits.get() else { return };
    for name in &edits.remove {
        response.remove(name);
    }
    for write in &edits.write {
        let facts = Facts { outcome, head, response: Some(response), hostname };
        let value = fill(&write.value, facts);
        put(response, &write.name, value, write.append, write.keep_empty);
    }
}

fn put(
    headers: &mut HeaderMap,
    name: &http::HeaderName,
    value: Option<HeaderValue>,
    append: Append,
    keep_empty: bool,
) {
    let Some(value) = value.filter(|value| keep_empty || !value.is_empty()) else { return };
    match append {
        Append::Append => {
            headers.append(name, value);
        }
        Append::IfAbsent => {
            headers.entry(name).or_insert(value);
        }
        Append::Overwrite => {
            headers.insert(name, value);
        }
        Append::OverwriteIfPresent => {
            if let Entry::Occupied(mut present) = headers.entry(name) {
                present.insert(value);
            }
        }
    }
}

fn fill(value: &Value, facts: Facts<'_>) -> Option<HeaderValue> {
    match value {
        Value::Literal(literal) => Some(literal.clone()),
        Value::Template(template) => HeaderValue::try_from(render(template, facts)).ok(),
    }
}

/// The template's text. What isn't known is nothing.
pub fn render(template: &Template, facts: Facts<'_>) -> String {
    let mut out = String::new();
    for part in template.parts() {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Operator(operator) => write_operator(&mut out, operator, facts),
        }
    }
    out
}

fn write_operator(out: &mut String, operator: &Operator, facts: Facts<'_>) {
    match operator {
        Operator::Logged(field) => field.write(facts.outcome, out),
        Operator::Hostname => out.push_str(facts.hostname),
        Operator::RequestHeader { name, alternative, limit } => {
            let value = request_header(facts.head, name)
                .or_else(|| request_header(facts.head, alternative.as_deref()?))
                .unwrap_or_default();
            let end = limit.unwrap_or(value.len()).min(value.len());
            out.push_str(value.get(..end).unwrap_or(value));
        }
        Operator::ResponseHeader { name } => {
            out.push_str(facts.response.map(|headers| text(headers.get(&**name))).unwrap_or_default());
        }
    }
}

fn request_header<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    match name {
        ":method" => Some(head.method.as_str()),
        ":authority" | "host" => Some(head.authority.as_str()),
        ":path" => Some(head.path.as_str()),
        ":scheme" => Some(head.scheme.as_str()),
        name => head.headers.get(name).map(|value| text(Some(value))),
    }
}
