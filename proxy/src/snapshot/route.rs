//! Route tables: from host to virtual host, from request to route, and what a route does.
//!
//! `config/` builds these from RouteConfigurations and VirtualHosts; `stage::route` asks them.

use std::{sync::Arc, time::Duration};

use ::http::{HeaderName, HeaderValue, StatusCode};
use regex::Regex;

use super::{
    Named,
    claim::ClaimMatch,
    headers::HeaderEdits,
    matcher::{BadRegex, HeaderMatch, QueryMatch, RequestView, StringMatch},
    path::{PathCondition, PathIndex},
};

/// Which object of the user's a route or chain comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The object: `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`.
    pub config: Arc<str>,
    /// The rule in it: its name or position.
    pub rule: Arc<str>,
}

/// A route table could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BadRoutes {
    /// Two virtual hosts want one domain.
    #[error(
        "virtual host {second:?}: domain {domain:?} belongs to virtual host {first:?} already; remove one"
    )]
    DuplicateDomain {
        /// The domain.
        domain: Arc<str>,
        /// Who has it.
        first: Arc<str>,
        /// Who wants it.
        second: Arc<str>,
    },
    /// A domain with a wildcard in the middle.
    #[error("virtual host {host:?}: domain {domain:?}: a wildcard stands only at one end")]
    Wildcard {
        /// The virtual host.
        host: Arc<str>,
        /// The domain.
        domain: Arc<str>,
    },
    /// A route's path expression.
    #[error("virtual host {host:?}: {source}")]
    Regex {
        /// The virtual host.
        host: Arc<str>,
        /// The expression and why.
        #[source]
        source: BadRegex,
    },
}

/// Envoy's RouteConfiguration.
#[derive(Debug, Clone)]
pub struct RouteTable {
    /// Its name.
    pub name: Arc<str>,
    /// A port in the request's authority is ignored when the virtual host is looked up.
    pub ignore_port: bool,
    /// Edits of every request.
    pub request_headers: HeaderEdits,
    /// Edits of every response.
    pub response_headers: HeaderEdits,
    /// The table's edits come after the route's, not before (`most_specific_header_mutations_wins` unset).
    pub table_edits_last: bool,
    hosts: Named<VirtualHost>,
    exact: Named<VirtualHost>,
    suffix: Wildcards,
    prefix: Wildcards,
    any: Option<Arc<VirtualHost>>,
}

/// Domains with a wildcard at one end, by the length of the rest, longest first.
#[derive(Debug, Clone, Default)]
struct Wildcards(Vec<(usize, Named<VirtualHost>)>);

impl Wildcards {
    fn entry(&mut self, rest: &str) -> &mut Named<VirtualHost> {
        let at = match self.0.binary_search_by(|(length, _)| rest.len().cmp(length)) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (rest.len(), Named::default()));
                at
            }
        };
        &mut self.0[at].1
    }

    fn find<'a>(
        &self,
        host: &'a str,
        part: impl Fn(&'a str, usize) -> Option<&'a str>,
    ) -> Option<&Arc<VirtualHost>> {
        // The wildcard stands for at least one character.
        self.0
            .iter()
            .filter(|(length, _)| *length < host.len())
            .find_map(|(length, hosts)| hosts.get(part(host, *length)?))
    }
}

impl RouteTable {
    /// A table without edits.
    pub fn new(
        name: impl Into<Arc<str>>,
        hosts: impl IntoIterator<Item = Arc<VirtualHost>>,
    ) -> Result<Self, BadRoutes> {
        let mut table = Self {
            name: name.into(),
            ignore_port: false,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            table_edits_last: true,
            hosts: Named::default(),
            exact: Named::default(),
            suffix: Wildcards::default(),
            prefix: Wildcards::default(),
            any: None,
        };
        for host in hosts {
            table.insert(&host)?;
        }
        Ok(table)
    }

    /// The same table with some virtual hosts replaced or added and some removed (by name).
    pub fn with_hosts(
        &self,
        changed: impl IntoIterator<Item = Arc<VirtualHost>>,
        removed: &[Arc<str>],
    ) -> Result<Self, BadRoutes> {
        let mut table = self.clone();
        let changed: Vec<_> = changed.into_iter().collect();
        for name in removed.iter().chain(changed.iter().map(|host| &host.name)) {
            table.remove(name);
        }
        for host in &changed {
            table.insert(host)?;
        }
        Ok(table)
    }

    /// The virtual hosts, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.hosts.values()
    }

    /// The virtual host for an authority: exact, then the longest `*suffix`, then the longest `prefix*`, then `*`.
    pub fn host(&self, authority: &str) -> Option<&Arc<VirtualHost>> {
        let authority = if self.ignore_port { without_port(authority) } else { authority };
        if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.host_in_lower_case(&authority.to_ascii_lowercase());
        }
        self.host_in_lower_case(authority)
    }

    fn host_in_lower_case(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        self.exact
            .get(host)
            .or_else(|| self.suffix.find(host, |host, length| host.get(host.len() - length..)))
            .or_else(|| self.prefix.find(host, |host, length| host.get(..length)))
            .or(self.any.as_ref())
    }

    fn insert(&mut self, host: &Arc<VirtualHost>) -> Result<(), BadRoutes> {
        for domain in &host.domains {
            let folded = in_lower_case(domain);
            let middle = folded.strip_prefix('*').unwrap_or(&folded);
            let middle = middle.strip_suffix('*').unwrap_or(middle);
            if middle.contains('*') || (folded.len() > middle.len() + 1) {
                return Err(BadRoutes::Wildcard { host: host.name.clone(), domain: domain.clone() });
            }
            let previous = if &*folded == "*" {
                self.any.replace(host.clone())
            } else if folded.starts_with('*') {
                self.suffix.entry(middle).insert(middle.into(), host.clone())
            } else if folded.ends_with('*') {
                self.prefix.entry(middle).insert(middle.into(), host.clone())
            } else {
                self.exact.insert(folded.clone(), host.clone())
            };
            if let Some(first) = previous {
                return Err(BadRoutes::DuplicateDomain {
                    domain: domain.clone(),
                    first: first.name.clone(),
                    second: host.name.clone(),
                });
            }
        }
        self.hosts.insert(host.name.clone(), host.clone());
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        let Some(host) = self.hosts.remove(name) else { return };
        for domain in &host.domains {
            let folded = in_lower_case(domain);
            if &*folded == "*" {
                self.any = None;
            } else if let Some(rest) = folded.strip_prefix('*') {
                self.suffix.entry(rest).remove(rest);
            } else if let Some(rest) = folded.strip_suffix('*') {
                self.prefix.entry(rest).remove(rest);
            } else {
                self.exact.remove(&*folded);
            }
        }
    }
}

/// A domain as it is looked up. Nearly all are written so.
fn in_lower_case(domain: &Arc<str>) -> Arc<str> {
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return domain.to_ascii_lowercase().into();
    }
    domain.clone()
}

/// An authority without its port; IPv6 addresses keep their brackets.
pub fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon)
            if authority[colon + 1..].bytes().all(|byte| byte.is_ascii_digit())
                && (!authority[..colon].contains(':') || authority[..colon].ends_with(']')) =>
        {
            &authority[..colon]
        }
        _ => authority,
    }
}

/// Envoy's VirtualHost.
#[derive(Debug)]
pub struct VirtualHost {
    /// Its name, without the route table's.
    pub name: Arc<str>,
    /// The hosts it is for.
    pub domains: Vec<Arc<str>>,
    /// Requests by plaintext are redirected to HTTPS.
    pub require_tls: RequireTls,
    /// Edits of its requests.
    pub request_headers: HeaderEdits,
    /// Edits of its responses.
    pub response_headers: HeaderEdits,
    /// Requests carry `x-envoy-attempt-count`.
    pub attempt_count_in_request: bool,
    /// Responses carry it.
    pub attempt_count_in_response: bool,
    /// CORS for routes that have none of their own.
    pub cors: Option<Arc<Cors>>,
    /// Faults for routes that have none of their own.
    pub fault: Option<Arc<Fault>>,
    /// Bytes of a request's body that may be kept for retries and mirrors. `None` is ours.
    pub buffer_limit: Option<u32>,
    /// Where it comes from.
    pub origin: Option<Origin>,
    routes: Vec<Arc<Route>>,
    index: PathIndex,
}

/// Envoy's `TlsRequirementType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequireTls {
    /// Plaintext is fine.
    #[default]
    No,
    /// All plaintext requests are redirected.
    All,
    /// Plaintext requests from outside are redirected.
    ExternalOnly,
}

impl VirtualHost {
    /// Compiles the routes, which are tried in order.
    pub fn new(
        name: impl Into<Arc<str>>,
        domains: Vec<Arc<str>>,
        routes: Vec<Arc<Route>>,
    ) -> Result<Self, BadRoutes> {
        let name = name.into();
        let index = PathIndex::new(routes.iter().map(|route| &route.path))
            .map_err(|source| BadRoutes::Regex { host: name.clone(), source })?;
        Ok(Self {
            name,
            domains,
            require_tls: RequireTls::No,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            attempt_count_in_request: false,
            attempt_count_in_response: false,
            cors: None,
            fault: None,
            buffer_limit: None,
            origin: None,
            routes,
            index,
        })
    }

    /// The routes in order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The first route whose conditions all hold.
    pub fn route(&self, request: &RequestView<'_>, chance: &mut dyn FnMut() -> u32) -> Option<&Arc<Route>> {
        let mut accept = |position: usize| self.routes[position].conditions.match_all(request, chance);
        let position = if request.method == "CONNECT" {
            self.index.first_connect(&mut accept)?
        } else {
            self.index.first(request.path, &mut accept)?
        };
        Some(&self.routes[position])
    }
}

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

/// Envoy's Route.
#[derive(Debug)]
pub struct Route {
    /// Its name, for the access log.
    pub name: Arc<str>,
    /// Its condition on the path.
    pub path: PathCondition,
    /// Its other conditions.
    pub conditions: Conditions,
    /// What it does.
    pub action: Action,
    /// Edits of its requests.
    pub request_headers: HeaderEdits,
    /// Edits of its responses.
    pub response_headers: HeaderEdits,
    /// Faults of its own.
    pub fault: Option<Arc<Fault>>,
    /// CORS of its own.
    pub cors: Option<Arc<Cors>>,
    /// The operation's name for traces and `x-envoy-decorator-operation`.
    pub operation: Option<HeaderValue>,
    /// Where it comes from.
    pub origin: Option<Origin>,
    /// The name under which its answers are counted, if somebody wants that (`stat_prefix`).
    pub stat_name: Option<Arc<str>>,
}

impl Route {
    /// A route for every path, without edits.
    pub fn new(action: Action) -> Self {
        Self {
            name: Arc::default(),
            path: PathCondition::ANY,
            conditions: Conditions::default(),
            action,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            fault: None,
            cors: None,
            operation: None,
            origin: None,
            stat_name: None,
        }
    }
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Sends the request to a cluster.
    Forward(Box<Forward>),
    /// Answers with a redirect.
    Redirect(Box<Redirect>),
    /// Answers.
    Direct(Box<DirectResponse>),
}

/// One of several things, by weight.
#[derive(Debug, Clone)]
pub struct Weighted<T> {
    entries: Vec<(u32, T)>,
    total: u32,
}

impl<T> Weighted<T> {
    /// The one thing.
    pub fn single(entry: T) -> Self {
        Self { entries: vec![(1, entry)], total: 1 }
    }

    /// The things with their weights. `None` if the weights add up to nothing or to more than 32 bits.
    pub fn new(entries: Vec<(u32, T)>) -> Option<Self> {
        let total = entries.iter().try_fold(0_u32, |sum, (weight, _)| sum.checked_add(*weight))?;
        (total > 0).then_some(Self { entries, total })
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
    pub host_rewrite: Option<HeaderValue>,
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
    pub rewrite: Option<PathRewrite>,
    /// How the authority changes.
    pub host_rewrite: Option<HostRewrite>,
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
    pub hash: Vec<HashPolicy>,
    /// Copies of the request go to these.
    pub mirrors: Vec<Mirror>,
    /// Protocols that requests may or may not upgrade to, in place of the listener's.
    pub upgrades: Vec<(Box<str>, bool)>,
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
            hash: Vec::new(),
            mirrors: Vec::new(),
            upgrades: Vec::new(),
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

/// Envoy's RetryPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// What is tried again.
    pub on: RetryOn,
    /// The codes for [`RetryOn::STATUS_CODES`].
    pub status_codes: Vec<u16>,
    /// Attempts after the first.
    pub retries: u32,
    /// Time for one attempt.
    pub per_try_timeout: Option<Duration>,
    /// The first wait before another attempt is up to this; it doubles each time.
    pub base_interval: Duration,
    /// The longest wait.
    pub max_interval: Duration,
    /// How often an endpoint is picked again because it was tried already. 0: endpoints may be tried again.
    pub host_selection_attempts: u32,
    /// Endpoints of other localities are preferred once one has failed (`previous_priorities`).
    pub other_priorities: bool,
}

impl RetryPolicy {
    /// Envoy's defaults: one retry, 25 ms.
    pub fn new(on: RetryOn) -> Self {
        Self {
            on,
            status_codes: Vec::new(),
            retries: 1,
            per_try_timeout: None,
            base_interval: Duration::from_millis(25),
            max_interval: Duration::from_millis(250),
            host_selection_attempts: 0,
            other_priorities: false,
        }
    }
}

/// A set of reasons to try again: Envoy's `retry_on` and `x-envoy-retry-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn(u32);

impl RetryOn {
    /// `5xx`: any 5xx, or no answer at all.
    pub const FIVE_XX: Self = Self(1);
    /// `gateway-error`: 502, 503, 504.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// `connect-failure`.
    pub const CONNECT_FAILURE: Self = Self(1 << 2);
    /// `retriable-4xx`: 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 3);
    /// `refused-stream`.
    pub const REFUSED_STREAM: Self = Self(1 << 4);
    /// `reset`: no answer at all.
    pub const RESET: Self = Self(1 << 5);
    /// `reset-before-request`: no answer, and the request hadn't been sent.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 6);
    /// `retriable-status-codes`.
    pub const STATUS_CODES: Self = Self(1 << 7);
    /// `envoy-ratelimited`.
    pub const RATELIMITED: Self = Self(1 << 8);
    /// `cancelled`, gRPC.
    pub const GRPC_CANCELLED: Self = Self(1 << 9);
    /// `deadline-exceeded`, gRPC.
    pub const GRPC_DEADLINE_EXCEEDED: Self = Self(1 << 10);
    /// `internal`, gRPC.
    pub const GRPC_INTERNAL: Self = Self(1 << 11);
    /// `resource-exhausted`, gRPC.
    pub const GRPC_RESOURCE_EXHAUSTED: Self = Self(1 << 12);
    /// `unavailable`, gRPC.
    pub const GRPC_UNAVAILABLE: Self = Self(1 << 13);
    /// `http3-post-connect-failure`; accepted, never happens.
    pub const HTTP3_POST_CONNECT_FAILURE: Self = Self(1 << 14);

    /// Reads a comma-separated list. Words that Envoy wouldn't know have no effect, as there; a number is a status
    /// code, which is left to the caller.
    pub fn parse(list: &str) -> Self {
        list.split(',').map(str::trim).fold(Self::default(), |set, word| {
            set.with(match word {
                "5xx" => Self::FIVE_XX,
                "gateway-error" => Self::GATEWAY_ERROR,
                "connect-failure" => Self::CONNECT_FAILURE,
                "retriable-4xx" => Self::RETRIABLE_4XX,
                "refused-stream" => Self::REFUSED_STREAM,
                "reset" => Self::RESET,
                "reset-before-request" => Self::RESET_BEFORE_REQUEST,
                "retriable-status-codes" => Self::STATUS_CODES,
                "envoy-ratelimited" => Self::RATELIMITED,
                "cancelled" => Self::GRPC_CANCELLED,
                "deadline-exceeded" => Self::GRPC_DEADLINE_EXCEEDED,
                "internal" => Self::GRPC_INTERNAL,
                "resource-exhausted" => Self::GRPC_RESOURCE_EXHAUSTED,
                "unavailable" => Self::GRPC_UNAVAILABLE,
                "http3-post-connect-failure" => Self::HTTP3_POST_CONNECT_FAILURE,
                _ => Self::default(),
            })
        })
    }

    /// Both sets.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any reason of `other` is in this set.
    pub fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
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

/// What a redirecting route does.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// The status code.
    pub status: StatusCode,
    /// The new scheme.
    pub scheme: Option<Box<str>>,
    /// The new host.
    pub host: Option<Box<str>>,
    /// The new port.
    pub port: Option<u16>,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// Leave the query out.
    pub strip_query: bool,
}

/// What an answering route does.
#[derive(Debug, Clone)]
pub struct DirectResponse {
    /// The status code.
    pub status: StatusCode,
    /// The body.
    pub body: bytes::Bytes,
}

/// Faults on purpose.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Wait first.
    pub delay: Option<(Fraction, Duration)>,
    /// Then answer instead of the application.
    pub abort: Option<(Fraction, Abort)>,
    /// Only requests with these headers.
    pub headers: Vec<HeaderMatch>,
    /// Only requests to this cluster.
    pub upstream_cluster: Option<Arc<str>>,
    /// Only requests from these nodes.
    pub downstream_nodes: Vec<Box<str>>,
    /// Faults at one time.
    pub max_active: Option<u32>,
}

/// What an aborted request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// An HTTP status.
    Http(StatusCode),
    /// A gRPC status.
    Grpc(u32),
}

/// Envoy's CorsPolicy.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Origins that may.
    pub allow_origins: Vec<StringMatch>,
    /// `access-control-allow-methods`.
    pub allow_methods: Option<HeaderValue>,
    /// `access-control-allow-headers`.
    pub allow_headers: Option<HeaderValue>,
    /// `access-control-expose-headers`.
    pub expose_headers: Option<HeaderValue>,
    /// `access-control-max-age`.
    pub max_age: Option<HeaderValue>,
    /// `access-control-allow-credentials`.
    pub allow_credentials: bool,
    /// Preflights from origins that don't match go to the application.
    pub forward_unmatched_preflights: bool,
    /// Switched off.
    pub disabled: bool,
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
