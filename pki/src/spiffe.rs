//! SPIFFE ids: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
//!
//! Parsed from certificates and configuration, made by the CA from an authenticated caller.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

const SCHEME: &str = "spiffe://";
/// The longest id that the SPIFFE specification asks implementations to support.
const MAX_LENGTH: usize = 2048;
const MAX_TRUST_DOMAIN: usize = 255;

/// A validated SPIFFE id; cheap to clone and to compare.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    domain_end: u16,
}

/// Why a text is not a SPIFFE id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// Longer than the specification allows.
    #[error("a SPIFFE id has at most {MAX_LENGTH} bytes, this one has {0}")]
    TooLong(usize),
    /// Another scheme, or none.
    #[error("{0:?} does not begin with \"spiffe://\"")]
    Scheme(String),
    /// The trust domain is empty, too long or has characters that it may not have.
    #[error("trust domain {0:?} must be 1 to 255 of a-z, 0-9, '.', '-' and '_'")]
    TrustDomain(String),
    /// A path segment is empty, dots, or has characters that it may not have.
    #[error("path segment {0:?} must be letters, digits, '.', '-' and '_', and not only dots")]
    Segment(String),
}

impl SpiffeId {
    /// The id of a Kubernetes service account, as Istio writes it.
    pub fn for_service_account(
        trust_domain: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Self, SpiffeError> {
        format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{account}").parse()
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id without its scheme, which is how Istio writes principals in policies.
    pub fn principal(&self) -> &str {
        &self.text[SCHEME.len()..]
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..usize::from(self.domain_end)]
    }

    /// What follows the trust domain, without its leading slash; empty when there is nothing.
    pub fn path(&self) -> &str {
        self.text[usize::from(self.domain_end)..].trim_start_matches('/')
    }

    /// Namespace and service account, when the path has Istio's shape.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let mut parts = self.path().split('/');
        let shape = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        match shape {
            (Some("ns"), Some(namespace), Some("sa"), Some(account), None) => Some((namespace, account)),
            _ => None,
        }
    }

    /// The namespace, when the path has Istio's shape.
    pub fn namespace(&self) -> Option<&str> {
        self.service_account().map(|(namespace, _)| namespace)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > MAX_LENGTH {
            return Err(SpiffeError::TooLong(text.len()));
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| SpiffeError::Scheme(text.to_owned()))?;
        let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
        let domain_char =
            |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_');
        if domain.is_empty() || domain.len() > MAX_TRUST_DOMAIN || !domain.bytes().all(domain_char) {
            return Err(SpiffeError::TrustDomain(domain.to_owned()));
        }
        for segment in path.into_iter().flat_map(|path| path.split('/')) {
            check_segment(segment)?;
        }
        let domain_end = (SCHEME.len() + domain.len()) as u16;
        Ok(Self { text: text.into(), domain_end })
    }
}

fn check_segment(segment: &str) -> Result<(), SpiffeError> {
    let segment_char = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    let dots = matches!(segment, "" | "." | "..");
    if dots || !segment.bytes().all(segment_char) {
        return Err(SpiffeError::Segment(segment.to_owned()));
    }
    Ok(())
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_istio_identity_has_namespace_and_service_account() {
        let id = SpiffeId::for_service_account("cluster.local", "default", "reviews").unwrap();
        assert_eq!(id.as_str(), "spiffe://cluster.local/ns/default/sa/reviews");
        assert_eq!(id.trust_domain(), "cluster.local");
        assert_eq!(id.principal(), "cluster.local/ns/default/sa/reviews");
        assert_eq!(id.service_account(), Some(("default", "reviews")));
    }

    #[test]
    fn other_paths_are_ids_but_not_service_accounts() {
        for text in
            ["spiffe://example.org", "spiffe://example.org/a/b", "spiffe://d/ns/a/sa/b/c", "spiffe://d/ns/a"]
        {
            let id: SpiffeId = text.parse().unwrap();
            assert_eq!(id.service_account(), None, "{text}");
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        let long = format!("spiffe://d/{}", "a".repeat(MAX_LENGTH));
        let cases = [
            "",
            "spiffe:/d/x",
            "SPIFFE://d/x",
            "https://d/x",
            "spiffe://",
            "spiffe:///ns/a",
            "spiffe://D/x",
            "spiffe://d:80/x",
            "spiffe://u@d/x",
            "spiffe://d/",
            "spiffe://d//x",
            "spiffe://d/./x",
            "spiffe://d/../x",
            "spiffe://d/a b",
            "spiffe://d/%41",
            "spiffe://d/x?y",
            "spiffe://d/x#y",
            "spiffe://d/é",
            &long,
        ];
        for text in cases {
            assert!(text.parse::<SpiffeId>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn any_text_either_fails_or_round_trips(text in "(spiffe://)?[ -~é]{0,40}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert!(id.trust_domain().len() + id.path().len() <= text.len());
            }
        }
    }
}
