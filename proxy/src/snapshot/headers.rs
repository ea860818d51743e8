//! Header edits that configuration asks for, compiled once.
//!
//! `config/` builds [`HeaderEdits`] for route tables, virtual hosts, routes and weighted clusters;
//! `stage::headers` applies them.

use ::http::{HeaderName, HeaderValue};

use crate::observe::log::Field;

/// What a header's new value is.
#[derive(Debug, Clone)]
pub enum Value {
    /// Always the same.
    Literal(HeaderValue),
    /// Contains Envoy's `%OPERATOR%`s, which are filled in for each request.
    Template(Template),
}

/// A text with Envoy's `%OPERATOR(argument)%`s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it stands.
    Text(Box<str>),
    /// Filled in from the request.
    Operator(Operator),
}

/// The operators that header values may use: all of the access log's. Those that look at heads are told apart, because
/// a head is at hand here and not yet kept for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// What the access log makes of it.
    Logged(Field),
    /// `HOSTNAME` of the proxy.
    Hostname,
    /// `REQ(name?alternative):length`.
    RequestHeader {
        /// The header; `:path`, `:method` and `:authority` too.
        name: Box<str>,
        /// Used when the first isn't there.
        alternative: Option<Box<str>>,
        /// Longer values are cut.
        limit: Option<usize>,
    },
    /// `RESP(name)`.
    ResponseHeader {
        /// The header.
        name: Box<str>,
    },
}

/// A header value was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadValue {
    /// Bytes that HTTP doesn't allow.
    #[error("header value {0:?} has characters that HTTP forbids; remove line breaks and control characters")]
    Forbidden(String),
    /// A `%` that neither doubles nor closes.
    #[error("header value {0:?} has a lone %; write %% for a percent sign")]
    Unclosed(String),
    /// An operator that we don't know.
    #[error("header value operator %{0}% is not supported; remove it or use a literal")]
    UnknownOperator(String),
}

impl Value {
    /// Compiles a value as it stands in configuration.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        let parts = parse_parts(text)?;
        match &parts[..] {
            [] => Ok(Self::Literal(HeaderValue::from_static(""))),
            [Part::Text(text)] => HeaderValue::from_str(text)
                .map(Self::Literal)
                .map_err(|_| BadValue::Forbidden(text.to_string())),
            _ => Ok(Self::Template(Template(parts))),
        }
    }
}

impl Template {
    /// The pieces in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

fn parse_parts(text: &str) -> Result<Vec<Part>, BadValue> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let end = Field::end_in(rest).ok_or_else(|| BadValue::Unclosed(text.to_owned()))?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(Part::Operator(parse_operator(&rest[..end])?));
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        if HeaderValue::from_str(&literal).is_err() {
            return Err(BadValue::Forbidden(literal));
        }
        parts.push(Part::Text(literal.into()));
    }
    Ok(parts)
}

fn parse_operator(text: &str) -> Result<Operator, BadValue> {
    let unknown = || BadValue::UnknownOperator(text.to_owned());
    let (name, argument, limit) = match text.split_once('(') {
        None => (text, None, None),
        Some((name, _)) if name != "REQ" && name != "RESP" => (name, None, None),
        Some((name, rest)) => {
            let (argument, tail) = rest.rsplit_once(')').ok_or_else(unknown)?;
            let limit = match tail.strip_prefix(':') {
                None if tail.is_empty() => None,
                None => return Err(unknown()),
                Some(limit) => Some(limit.parse().map_err(|_| unknown())?),
            };
            (name, Some(argument), limit)
        }
    };
    Ok(match (name, argument) {
        ("HOSTNAME", None) => Operator::Hostname,
        ("REQ", Some(argument)) => {
            let (name, alternative) = match argument.split_once('?') {
                None => (argument, None),
                Some((name, alternative)) => (name, Some(alternative.to_ascii_lowercase().into())),
            };
            Operator::RequestHeader { name: name.to_ascii_lowercase().into(), alternative, limit }
        }
        ("RESP", Some(name)) => Operator::ResponseHeader { name: name.to_ascii_lowercase().into() },
        _ => Operator::Logged(Field::parse(text).map_err(|_| unknown())?),
    })
}

/// What to do where the header is there already (Envoy's `HeaderAppendAction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// One more value.
    Append,
    /// Leave the old value.
    IfAbsent,
    /// The new value in the old one's place; added if there was none.
    Overwrite,
    /// The new value in the old one's place; nothing if there was none.
    OverwriteIfPresent,
}

/// One header that is written.
#[derive(Debug, Clone)]
pub struct HeaderWrite {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: Value,
    /// How it meets what is there.
    pub append: Append,
    /// Write it even if the value comes out empty.
    pub keep_empty: bool,
}

/// The edits of one level, for one direction. Most levels have none, and a mesh has many: those take a word.
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits(Option<Box<Edits>>);

/// Edits, at least one.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Removed first, as Envoy does.
    pub remove: Box<[HeaderName]>,
    /// Written in order, after removals.
    pub write: Box<[HeaderWrite]>,
    /// A request edit that sets `Host` or `:authority`: it replaces the request's authority.
    pub authority: Option<Value>,
}

impl HeaderEdits {
    /// The edits, if there is something to do.
    pub fn get(&self) -> Option<&Edits> {
        self.0.as_deref()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<Edits> for HeaderEdits {
    fn from(edits: Edits) -> Self {
        let some = !edits.write.is_empty() || !edits.remove.is_empty() || edits.authority.is_some();
        Self(some.then(|| Box::new(edits)))
    }
}
