//! Who is calling: a client certificate of the mesh, or a service account's token.
//!
//! ADS and CA ask [`Authenticator::caller`] with what a request brought. Tokens are judged by the API server's TokenReview,
//! or without Kubernetes by a file.

mod token_file;
mod token_review;

use pki::SpiffeId;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::serve::Peer;
pub(crate) use token_file::TokenFile;
pub(crate) use token_review::TokenReviews;

/// The audience that proxies' tokens are made for.
pub(crate) const AUDIENCE: &str = "istio-ca";
/// A projected token is under 2 KB.
const MAX_TOKEN: usize = 16 << 10;

/// A service account whose identity was proved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) service_account: String,
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}

/// Why a caller's identity is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// Neither token nor certificate.
    #[error(
        "no credentials: send a service account token (audience {AUDIENCE}) as a bearer token, or a client certificate of the mesh"
    )]
    Missing,
    /// A header that is not a bearer token.
    #[error("the authorization header is not a bearer token of at most {MAX_TOKEN} bytes")]
    Malformed,
    /// The token is forged, expired or revoked.
    #[error("the token was refused: {0}")]
    Refused(String),
    /// The token is good, but for somebody else.
    #[error("the token is for the audience {0:?}; mount one for {AUDIENCE}")]
    WrongAudience(Vec<String>),
    /// The token belongs to a person or a node.
    #[error("{0:?} is not a service account")]
    NotServiceAccount(String),
    /// The certificate is of this mesh's CA, but names no service account of its trust domain.
    #[error(
        "the client certificate is for {id}, which is not a service account of trust domain {trust_domain:?}"
    )]
    ForeignCertificate {
        /// The certificate's id.
        id: SpiffeId,
        /// Ours.
        trust_domain: String,
    },
    /// Nobody can judge the token at the moment.
    #[error("tokens cannot be checked now: {0}; try again")]
    Unavailable(String),
}

impl From<AuthError> for Status {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable(_) => Status::unavailable(error.to_string()),
            _ => Status::unauthenticated(error.to_string()),
        }
    }
}

/// Judges tokens.
#[derive(Debug)]
pub(crate) enum Tokens {
    /// Kubernetes does.
    Review(TokenReviews),
    /// A file does.
    File(TokenFile),
    /// Nobody: only certificates count.
    None,
}

/// Judges callers.
#[derive(Debug)]
pub(crate) struct Authenticator {
    tokens: Tokens,
}

impl Authenticator {
    pub(crate) fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }

    /// The caller's identity, from its certificate or else its token.
    pub(crate) async fn caller(
        &self,
        peer: &Peer,
        metadata: &MetadataMap,
        trust_domain: &str,
    ) -> Result<Caller, AuthError> {
        let by_certificate = peer.id.as_ref().map(|id| of_certificate(id, trust_domain));
        if let Some(Ok(caller)) = by_certificate {
            return Ok(caller);
        }
        match bearer(metadata)? {
            Some(token) => self.of_token(token).await,
            None => Err(by_certificate.and_then(Result::err).unwrap_or(AuthError::Missing)),
        }
    }

    /// The owner of a token.
    pub(crate) async fn of_token(&self, token: &str) -> Result<Caller, AuthError> {
        match &self.tokens {
            Tokens::Review(reviews) => reviews.caller(token).await,
            Tokens::File(file) => file.caller(token),
            Tokens::None => {
                Err(AuthError::Refused("this control plane was started without --token-file".into()))
            }
        }
    }
}

fn of_certificate(id: &SpiffeId, trust_domain: &str) -> Result<Caller, AuthError> {
    match id.service_account() {
        Some((namespace, service_account)) if id.trust_domain() == trust_domain => {
            Ok(Caller { namespace: namespace.to_owned(), service_account: service_account.to_owned() })
        }
        _ => Err(AuthError::ForeignCertificate { id: id.clone(), trust_domain: trust_domain.to_owned() }),
    }
}

/// The bearer token of a request.
pub(crate) fn bearer(metadata: &MetadataMap) -> Result<Option<&str>, AuthError> {
    let Some(header) = metadata.get("authorization") else { return Ok(None) };
    let text = header.to_str().map_err(|_| AuthError::Malformed)?;
    let token = text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("bearer "));
    match token.map(str::trim) {
        Some(token) if !token.is_empty() && token.len() <= MAX_TOKEN => Ok(Some(token)),
        _ => Err(AuthError::Malformed),
    }
}

/// `system:serviceaccount:<namespace>:<name>`, as Kubernetes names service accounts.
pub(crate) fn of_username(name: &str) -> Result<Caller, AuthError> {
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(Caller { namespace: namespace.to_owned(), service_account: name.to_owned() })
        }
        _ => Err(AuthError::NotServiceAccount(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(authorization: &str) -> MetadataMap {
        let mut map = MetadataMap::new();
        map.insert("authorization", authorization.parse().unwrap());
        map
    }

    #[test]
    fn only_bearer_tokens_of_sane_size_are_read() {
        assert_eq!(bearer(&metadata("Bearer abc")).unwrap(), Some("abc"));
        assert_eq!(bearer(&MetadataMap::new()).unwrap(), None);
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
        for bad in ["Basic abc", "Bearer", "Bearer  ", "abc", &long] {
            assert!(matches!(bearer(&metadata(bad)), Err(AuthError::Malformed)), "{bad:.20}");
        }
    }

    #[test]
    fn only_service_accounts_are_callers() {
        let caller = of_username("system:serviceaccount:shop:web").unwrap();
        assert_eq!(caller, Caller { namespace: "shop".into(), service_account: "web".into() });
        for name in
            ["kubernetes-admin", "system:node:n1", "system:serviceaccount:shop", "system:serviceaccount::web"]
        {
            assert!(matches!(of_username(name), Err(AuthError::NotServiceAccount(_))), "{name}");
        }
    }

    #[tokio::test]
    async fn a_certificate_counts_only_for_its_own_trust_domain() {
        let authenticator = Authenticator::new(Tokens::None);
        let id = SpiffeId::for_service_account("cluster.local", "shop", "web").unwrap();
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), encrypted: true, id: Some(id) };
        let caller = authenticator.caller(&peer, &MetadataMap::new(), "cluster.local").await.unwrap();
        assert_eq!(caller.to_string(), "shop/web");
        let foreign = authenticator.caller(&peer, &MetadataMap::new(), "other.mesh").await;
        assert!(matches!(foreign, Err(AuthError::ForeignCertificate { .. })));
        let nobody = Peer { id: None, ..peer };
        let missing = authenticator.caller(&nobody, &MetadataMap::new(), "cluster.local").await;
        assert!(matches!(missing, Err(AuthError::Missing)));
    }
}
