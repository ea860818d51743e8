//! Edits of headers at one level.

use ::http::HeaderName;
use envoy_types::pb::envoy::config::core::v3 as core;

use super::error::{At as _, ConfigError, Result, each};
use super::matcher::header_name;
use super::value::enumeration;
use crate::snapshot::headers::{Append, Edits, HeaderEdits, HeaderWrite, Value};

/// Edits of a request, where setting the host means setting the authority.
pub(super) fn request(add: &[core::HeaderValueOption], remove: &[String]) -> Result<HeaderEdits> {
    let (hosts, others): (Vec<_>, Vec<_>) = add.iter().cloned().partition(names_the_authority);
    let mut edits = response_like("request_headers_to_add", &others, "request_headers_to_remove", remove)?;
    edits.authority = match hosts.last().and_then(|option| option.header.as_ref()) {
        Some(header) => Some(Value::parse(&header.value).map_err(ConfigError::new)?),
        None => None,
    };
    Ok(edits.into())
}

/// Edits of a response.
pub(super) fn response(add: &[core::HeaderValueOption], remove: &[String]) -> Result<HeaderEdits> {
    response_like("response_headers_to_add", add, "response_headers_to_remove", remove).map(Into::into)
}

fn response_like(
    add_field: &str,
    add: &[core::HeaderValueOption],
    remove_field: &str,
    remove: &[String],
) -> Result<Edits> {
    let remove: Vec<HeaderName> = each(remove_field, remove, |name| header_name(name))?;
    Ok(Edits { remove: remove.into(), write: each(add_field, add, write)?.into(), authority: None })
}

fn names_the_authority(option: &core::HeaderValueOption) -> bool {
    option.header.as_ref().is_some_and(|header| {
        header.key.eq_ignore_ascii_case("host") || header.key.eq_ignore_ascii_case(":authority")
    })
}

fn write(option: &core::HeaderValueOption) -> Result<HeaderWrite> {
    use core::header_value_option::HeaderAppendAction as Action;
    let header = option.header.as_ref().ok_or_else(|| ConfigError::new("a header is required"))?;
    let append = match (&option.append, enumeration(option.append_action).field("append_action")?) {
        // the older way to say it
        (Some(append), _) if !append.value => Append::Overwrite,
        (_, Action::AppendIfExistsOrAdd) => Append::Append,
        (_, Action::AddIfAbsent) => Append::IfAbsent,
        (_, Action::OverwriteIfExistsOrAdd) => Append::Overwrite,
        (_, Action::OverwriteIfExists) => Append::OverwriteIfPresent,
    };
    let value = if header.raw_value.is_empty() {
        header.value.clone()
    } else {
        String::from_utf8(header.raw_value.clone()).map_err(|_| ConfigError::new("raw_value is not text"))?
    };
    Ok(HeaderWrite {
        name: header_name(&header.key).field("header")?,
        value: Value::parse(&value).map_err(ConfigError::new).field("header")?,
        append,
        keep_empty: option.keep_empty_value,
    })
}
