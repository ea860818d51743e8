//! What a route does that sends its requests on.

use std::{sync::Arc, time::Duration};

use ::http::{HeaderName, HeaderValue, StatusCode};
use regex::Regex;

use super::{conditions::Fraction, retry::RetryPolicy};
use crate::snapshot::headers::HeaderEdits;

/// One of several things, by weight.
#[derive(Debug, Clone)]
pub struct Weighted<T> {
    entries: Box<[(u32, T)]>,
    total: u32,
}

impl<T> Weighted<T> {
    /// The one thing.
    pub fn single(entry: T) -> Self {
        Self { entries: Box::new([(1, entry)]), total: 1 }
    }

    /// The things with their weights. `None` if the weights add up to nothing or to more than 32 bits.
    pub fn new(entries: Vec<(u32, T)>) -> Option<Self> {
        let total = entries.iter().try_fold(0_u32, |sum, (weight, _)| sum.checked_add(*weight))?;
        (total > 0).then(|| Self { entries: entries.into(), total })
    }

    /// All of them with their weights.
    pub fn iter(&self) -> impl Iterator<Item = &(u32, T)> {
        self.entries.iter()
    }

    /// The one for a random number, which is asked for only where there is a choice.
    pub fn pick(&self, random: impl FnOnce() -> u32) -> &T {
        if let [(_, only)] = &self.entries[..] {
            return only;
        }
        let mut left = random() % self.total;
        for (weight, entry) in &self.entries {
            if left < *weight {
                return entry;
            }
            left -= weight;
        }
        // Unreachable: `left` was less than the sum of the weights.
        &self.entries[0].1
    }
}

/// A cluster that a route sends to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub cluster: Arc<str>,
    /// Edits of the requests that go there.
    pub request_headers: HeaderEdits,
    /// Edits of the responses that come from there.
    pub response_headers: HeaderEdits,
    /// The authority that requests get which go there.
    pub host_rewrite: Option<Box<HeaderValue>>,
}

impl Target {
    /// A cluster without edits.
    pub fn new(cluster: impl Into<Arc<str>>) -> Self {
        Self {
            cluster: cluster.into(),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            host_rewrite: None,
        }
    }
}

/// Where a forwarded request goes.
#[derive(Debug, Clone)]
pub enum Destination {
    /// One of these.
    Clusters(Weighted<Target>),
    /// The cluster that a header names.
    Header(HeaderName),
}

/// What a route does that sends its requests on.
#[derive(Debug)]
pub struct Forward {
    /// Where to.
    pub destination: Destination,
    /// The answer if the cluster doesn't exist: 503 unless configured.
    pub not_found_status: StatusCode,
    /// How the path changes.
    pub rewrite: Option<Box<PathRewrite>>,
    /// How the authority changes.
    pub host_rewrite: Option<Box<HostRewrite>>,
    /// The old authority is appended to `x-forwarded-host`.
    pub append_forwarded_host: bool,
    /// Time for the whole answer, over all attempts. `None` is none. Istio writes 0 for that, Envoy's own default
    /// is 15 seconds.
    pub timeout: Option<Duration>,
    /// Ends a request in which nothing moves for this long, in place of the listener's. `Some(ZERO)` is never.
    pub idle_timeout: Option<Duration>,
    /// What `grpc-timeout` may ask for.
    pub grpc_timeout: GrpcTimeout,
    /// When and how to try again.
    pub retry: Option<Arc<RetryPolicy>>,
    /// What consistent hashing looks at, in order.
    pub hash: Box<[HashPolicy]>,
    /// Copies of the request go to these.
    pub mirrors: Box<[Mirror]>,
    /// Protocols that requests may or may not upgrade to, in place of the listener's.
    pub upgrades: Box<[(Box<str>, bool)]>,
    /// `CONNECT` requests end here and their bytes go to the cluster.
    pub connect: bool,
}

impl Forward {
    /// To one cluster, with no timeout and no retries.
    pub fn to_cluster(cluster: impl Into<Arc<str>>) -> Self {
        Self::to(Destination::Clusters(Weighted::single(Target::new(cluster))))
    }

    /// To a destination, with no timeout and no retries.
    pub fn to(destination: Destination) -> Self {
        Self {
            destination,
            not_found_status: StatusCode::SERVICE_UNAVAILABLE,
            rewrite: None,
            host_rewrite: None,
            append_forwarded_host: false,
            timeout: None,
            idle_timeout: None,
            grpc_timeout: GrpcTimeout::Ignored,
            retry: None,
            hash: Box::default(),
            mirrors: Box::default(),
            upgrades: Box::default(),
            connect: false,
        }
    }
}

/// What `grpc-timeout` may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcTimeout {
    /// The header has no effect.
    Ignored,
    /// It replaces the route's timeout, but asks for no more than this; `None` is no limit.
    UpTo(Option<Duration>),
}

/// How the path changes.
#[derive(Debug, Clone)]
pub enum PathRewrite {
    /// What the route's path condition matched is replaced.
    Prefix(Box<str>),
    /// The whole path is replaced; the query stays.
    Full(Box<str>),
    /// What the expression matches is replaced; `\1` is its first group.
    Regex(Regex, Box<str>),
}

/// How the authority changes.
#[derive(Debug, Clone)]
pub enum HostRewrite {
    /// To this.
    Literal(HeaderValue),
    /// To the endpoint's host name, if it has one.
    Auto,
    /// To what a header says.
    Header(HeaderName),
    /// The path, with the expression replaced.
    PathRegex(Regex, Box<str>),
}

/// What consistent hashing looks at.
#[derive(Debug, Clone)]
pub struct HashPolicy {
    /// The part of the request.
    pub source: HashSource,
    /// If this one gives a hash, the later ones aren't looked at.
    pub terminal: bool,
}

/// A part of a request that is hashed.
#[derive(Debug, Clone)]
pub enum HashSource {
    /// A header.
    Header(HeaderName),
    /// A cookie. With `ttl`, one is made for clients that have none.
    Cookie {
        /// Its name.
        name: Box<str>,
        /// The path it is for.
        path: Option<Box<str>>,
        /// How long it lasts; zero is as long as the browser runs. `None`: never made.
        ttl: Option<Duration>,
        /// Further attributes, as `; Name=value`.
        attributes: Box<str>,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    Query(Box<str>),
}

/// A copy of requests.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Where it goes.
    pub cluster: Arc<str>,
    /// How many are copied.
    pub share: Fraction,
    /// The copy's authority isn't given Envoy's `-shadow`.
    pub keep_host: bool,
}
