//! Copies of requests for mirrors.

use http::uri::Authority;

use crate::{
    request::head::Head,
    snapshot::route::{Mirror, without_port},
};

/// The mirrors that get a copy of this request.
pub fn chosen<'a>(
    mirrors: &'a [Mirror],
    mut random: impl FnMut() -> u32 + 'a,
) -> impl Iterator<Item = &'a Mirror> {
    mirrors.iter().filter(move |mirror| mirror.share.takes(random()))
}

/// The head of the copy. Envoy marks it with `-shadow` at the end of the host, unless told not to.
pub fn head(mirror: &Mirror, original: &Head) -> Head {
    let mut copy = original.clone();
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
