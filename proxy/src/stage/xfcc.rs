//! `x-forwarded-client-cert`: who the client proved to be, told to the upstream.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    request::outcome::Connection,
    snapshot::http::{CertDetails, ForwardClientCert},
};

/// The header.
pub const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// This connection's element, made once per connection. `None` without mutual TLS.
pub fn element(connection: &Connection, details: CertDetails) -> Option<HeaderValue> {
    let tls = connection.tls.as_ref()?;
    let peer = tls.peer.as_ref()?;
    let mut text = String::new();
    if let Some(local) = &tls.local_uri {
        text.push_str(&format!("By={local};"));
    }
    text.push_str(&format!("Hash={}", peer.hash));
    if details.cert {
        text.push_str(&format!(";Cert=\"{}\"", url_encoded_pem(&peer.der)));
    }
    if details.subject {
        text.push_str(&format!(";Subject=\"{}\"", peer.subject.replace(['"', '\r', '\n'], "")));
    }
    if details.uri {
        // The key is there for certificates without a URI too, as Envoy has it.
        text.push_str(&format!(";URI={}", peer.uri.as_deref().unwrap_or_default()));
    }
    if details.dns {
        for name in &peer.dns {
            text.push_str(&format!(";DNS={name}"));
        }
    }
    HeaderValue::try_from(text).ok()
}

/// Puts the header right for the upstream.
pub fn apply(mode: ForwardClientCert, element: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let Some(element) = element else {
        if mode != ForwardClientCert::AlwaysForwardOnly {
            headers.remove(XFCC);
        }
        return;
    };
    match mode {
        ForwardClientCert::AlwaysForwardOnly | ForwardClientCert::ForwardOnly => {}
        ForwardClientCert::Sanitize => {
            headers.remove(XFCC);
        }
        ForwardClientCert::SanitizeSet => {
            headers.insert(XFCC, element.clone());
        }
        ForwardClientCert::AppendForward => {
            let value = match headers.get(XFCC) {
                None => element.clone(),
                Some(before) => {
                    let joined = [before.as_bytes(), b",", element.as_bytes()].concat();
                    HeaderValue::from_bytes(&joined).unwrap_or_else(|_| element.clone())
                }
            };
            headers.insert(XFCC, value);
        }
    }
}

fn url_encoded_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let mut out = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    for (at, char) in encoded.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push_str("%0A");
        }
        match char {
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            other => out.push(other),
        }
    }
    out.push_str("%0A-----END%20CERTIFICATE-----%0A");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_follows_the_mode() {
        use ForwardClientCert as Mode;
        let ours = HeaderValue::from_static("By=a;Hash=b");
        for (mode, mutual, expected) in [
            (Mode::Sanitize, true, None),
            (Mode::ForwardOnly, true, Some("old")),
            (Mode::ForwardOnly, false, None),
            (Mode::AppendForward, true, Some("old,By=a;Hash=b")),
            (Mode::AppendForward, false, None),
            (Mode::SanitizeSet, true, Some("By=a;Hash=b")),
            (Mode::SanitizeSet, false, None),
            (Mode::AlwaysForwardOnly, false, Some("old")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(XFCC, HeaderValue::from_static("old"));
            apply(mode, mutual.then_some(&ours), &mut headers);
            assert_eq!(headers.get(XFCC).map(|value| value.to_str().unwrap()), expected, "{mode:?} {mutual}");
        }
    }
}
