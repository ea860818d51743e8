//! A route's conditions other than the path.

use crate::snapshot::{
    claim::ClaimMatch,
    matcher::{HeaderMatch, QueryMatch, RequestView},
};

/// A route's conditions other than the path.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// All must hold. Methods, authorities and schemes are headers too.
    pub headers: Vec<HeaderMatch>,
    /// All must hold.
    pub query: Vec<QueryMatch>,
    /// All must hold, of the request's token.
    pub claims: Vec<ClaimMatch>,
    /// gRPC requests only.
    pub grpc: bool,
    /// Only this share of the requests.
    pub share: Option<Fraction>,
}

impl Conditions {
    /// Whether every request meets them.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
            && self.query.is_empty()
            && self.claims.is_empty()
            && !self.grpc
            && self.share.is_none()
    }

    /// Whether all hold. `chance` gives a random number for the share.
    pub fn match_all(&self, request: &RequestView<'_>, chance: &mut dyn FnMut() -> u32) -> bool {
        self.headers.iter().all(|header| header.matches(request))
            && self.query.iter().all(|query| query.matches(request.query))
            // Nobody verifies tokens yet, so no request has claims.
            && self.claims.iter().all(|claim| claim.matches(None))
            && (!self.grpc || is_grpc(request.headers))
            && self.share.is_none_or(|share| share.takes(chance()))
    }
}

/// Whether a request's or response's content type is gRPC's.
pub fn is_grpc(headers: &::http::HeaderMap) -> bool {
    headers.get(::http::header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.starts_with(b"application/grpc") && matches!(value.get(16), None | Some(b'+' | b';'))
    })
}

/// A share of requests, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction(pub u32);

impl Fraction {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// Whether a request with this random number is one of them.
    pub fn takes(self, random: u32) -> bool {
        random % 1_000_000 < self.0
    }
}
