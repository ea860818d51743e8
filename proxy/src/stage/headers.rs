//! Header edits: fills in values and applies them.

use std::fmt::Write as _;

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
    /// The request's head, while there is one.
    pub head: Option<&'a Head>,
    /// The response's headers, once there are some.
    pub response: Option<&'a HeaderMap>,
    /// The name of this host.
    pub hostname: &'a str,
}

/// Edits a request. Removals come first, as in Envoy.
pub fn edit_request(edits: &HeaderEdits, head: &mut Head, outcome: &Outcome, hostname: &str) {
    if edits.is_empty() {
        return;
    }
    for name in &edits.remove {
        head.headers.remove(name);
    }
    for write in &edits.write {
        let facts = Facts { outcome, head: Some(head), response: None, hostname };
        let value = fill(&write.value, facts);
        put(&mut head.headers, &write.name, value, write.append, write.keep_empty);
    }
    if let Some(value) = &edits.authority {
        let value = fill(value, Facts { outcome, head: Some(head), response: None, hostname });
        super::rewrite::set_authority(head, text(value.as_ref()), false);
    }
}

/// Edits a response.
pub fn edit_response(edits: &HeaderEdits, response: &mut HeaderMap, outcome: &Outcome, hostname: &str) {
    if edits.is_empty() {
        return;
    }
    for name in &edits.remove {
        response.remove(name);
    }
    for write in &edits.write {
        let facts = Facts { outcome, head: None, response: Some(response), hostname };
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

/// The template's text. What isn't known is `-` in the middle of text and nothing on its own.
pub fn render(template: &Template, facts: Facts<'_>) -> String {
    let mut out = String::new();
    let alone = template.parts().len() == 1;
    for part in template.parts() {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Operator(operator) => {
                let before = out.len();
                write_operator(&mut out, operator, facts);
                if out.len() == before && !alone {
                    out.push('-');
                }
            }
        }
    }
    out
}

fn write_operator(out: &mut String, operator: &Operator, facts: Facts<'_>) {
    let outcome = facts.outcome;
    let connection = &outcome.connection;
    // Writing to a string doesn't fail.
    let _ = match operator {
        Operator::DownstreamRemoteAddress => write!(out, "{}", outcome.client),
        Operator::DownstreamRemoteAddressWithoutPort => write!(out, "{}", outcome.client.ip()),
        Operator::DownstreamRemotePort => write!(out, "{}", outcome.client.port()),
        Operator::DownstreamDirectRemoteAddress => write!(out, "{}", connection.remote),
        Operator::DownstreamDirectRemoteAddressWithoutPort => write!(out, "{}", connection.remote.ip()),
        Operator::DownstreamLocalAddress => write!(out, "{}", connection.local),
        Operator::DownstreamLocalAddressWithoutPort => write!(out, "{}", connection.local.ip()),
        Operator::DownstreamLocalPort => write!(out, "{}", connection.local.port()),
        Operator::DownstreamPeerUriSan => {
            out.write_str(connection.peer_uri().map(|uri| &**uri).unwrap_or_default())
        }
        Operator::RequestedServerName => out.write_str(connection.server_name.as_deref().unwrap_or_default()),
        Operator::Protocol => out.write_str(outcome.protocol.as_str()),
        Operator::StartTime => out.write_str(&crate::clock::rfc3339(outcome.started)),
        Operator::Hostname => out.write_str(facts.hostname),
        Operator::RouteName => {
            out.write_str(outcome.route.as_ref().map(|route| &*route.name).unwrap_or_default())
        }
        Operator::UpstreamHost => match &outcome.endpoint {
            Some(endpoint) => write!(out, "{}", endpoint.address()),
            None => Ok(()),
        },
        Operator::UpstreamCluster => out.write_str(
            outcome.cluster.as_ref().map(|cluster| &**cluster.observed_name()).unwrap_or_default(),
        ),
        Operator::ResponseCode => write!(out, "{}", outcome.status.map_or(0, |status| status.as_u16())),
        Operator::ResponseFlags => write!(out, "{}", outcome.flags),
        Operator::ResponseCodeDetails => out.write_str(&outcome.details),
        Operator::RequestHeader { name, alternative, limit } => {
            let value = facts.head.and_then(|head| {
                request_header(head, name).or_else(|| request_header(head, alternative.as_deref()?))
            });
            let value = value.unwrap_or_default();
            let end = limit.unwrap_or(value.len()).min(value.len());
            out.write_str(value.get(..end).unwrap_or(value))
        }
        Operator::ResponseHeader { name } => {
            out.write_str(facts.response.map(|headers| text(headers.get(&**name))).unwrap_or_default())
        }
    };
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
