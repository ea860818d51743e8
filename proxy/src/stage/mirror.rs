//! Copies of requests for mirrors.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, uri::Authority};

use super::forwarded;
use crate::{
    request::head::Head,
    snapshot::route::{Mirror, without_port},
};

/// `x-envoy-internal`: for Envoy its own copies come from inside.
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");

/// The mirrors that get a copy of this request.
pub fn chosen<'a>(
    mirrors: &'a [Mirror],
    mut random: impl FnMut() -> u32 + 'a,
) -> impl Iterator<Item = &'a Mirror> {
    mirrors.iter().filter(move |mirror| mirror.share.takes(random()))
}

/// The head of the copy, which has one more hop than the original: `own`, this proxy's address. Envoy marks it with
/// `-shadow` at the end of the host, unless told not to.
pub fn head(mirror: &Mirror, original: &Head, own: Option<IpAddr>) -> Head {
    let mut copy = original.clone();
    copy.headers.insert(INTERNAL, HeaderValue::from_static("true"));
    if let Some(own) = own {
        forwarded::append_address(&mut copy.headers, own);
    }
    if !mirror.keep_host {
        let authority = original.authority.as_str();
        let host = without_port(authority);
        let port = &authority[host.len()..];
        if let Ok(marked) = Authority::try_from(format!("{host}-shadow{port}")) {
            copy.authority = marked;
        }
    }
    copy
}
