//! The path of a request, from its head to the answer's.
//!
//! [`handle`] is what hyper calls. The story is [`Exchange::proceed`]: identify, route, answer without an upstream if
//! the route says so, transform, pick, send, retry; and then [`respond`]. The stages are plain functions in `stage`;
//! what happened is noted in the request's [`Record`], which is handed to `observe` when the last byte has gone.

pub mod attempt;
pub mod body;
pub mod head;
pub mod outcome;
pub mod record;
pub mod reply;
mod respond;
pub mod response;
pub mod server;
mod tap;
mod tunnel;

use std::{convert::Infallible, rc::Rc, sync::Arc};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, uri::Scheme};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use self::{
    attempt::{Answered, Plan},
    body::Source,
    head::{Head, text},
    outcome::{Flags, RequestFacts},
    record::Record,
    reply::Reply,
    response::ClientBody,
    server::HttpConnection,
};
use crate::{
    snapshot::{
        Cluster, Snapshot,
        route::{Abort, Action, Cors, Destination, Forward, RequireTls, Target, is_grpc, without_port},
    },
    stage::{self, cors::Verdict, forwarded, normalise::Normalised, retry::Retries, route::Routed},
};

/// Bytes of a request's body that are kept for another attempt, where nothing is configured.
const REPLAY_LIMIT: u64 = 1 << 20;
const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// A request under way: what the stages read and change.
struct Exchange {
    connection: Rc<HttpConnection>,
    snapshot: Arc<Snapshot>,
    record: Record,
    head: Head,
    source: Source,
    /// The client's side of an upgrade, if it asks for one.
    upgrade: Option<OnUpgrade>,
    grpc: bool,
    routed: Option<Routed>,
    /// The target within the route that was picked.
    target: Option<Target>,
    /// An origin that the response is marked for.
    cors: Option<(Arc<Cors>, HeaderValue)>,
    /// `set-cookie`s of consistent hashing.
    cookies: Vec<HeaderValue>,
    /// How many requests the connection has had.
    count: u64,
}

/// Serves one request.
pub async fn handle(
    connection: Rc<HttpConnection>,
    mut request: Request<Incoming>,
) -> Result<Response<ClientBody>, Infallible> {
    let count = connection.lifetime.begin();
    let wants_upgrade =
        request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT;
    let upgrade = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
    let grpc = is_grpc(request.headers());
    if connection.facts.carries_http1 {
        *request.version_mut() = Version::HTTP_11;
    }
    let mut record = Record::begin(&connection, request.version().into());
    let (parts, body) = request.into_parts();
    let source = Source::new(body, REPLAY_LIMIT);
    record.watch(&source);
    let head = match Head::of(parts, connection.facts.tls.is_some()) {
        Ok(head) => head,
        Err(bad) => return Ok(respond::without_head(record, bad)),
    };
    record.request_head_bytes = head.size();
    record.request = Some(RequestFacts {
        method: head.method.clone(),
        path: head.path.clone(),
        authority: head.authority.clone(),
        grpc,
        headers: None,
    });
    let mut exchange = Exchange {
        snapshot: connection.worker.snapshot(),
        connection,
        record,
        head,
        source,
        upgrade,
        grpc,
        routed: None,
        target: None,
        cors: None,
        cookies: Vec::new(),
        count,
    };
    Ok(match exchange.proceed().await {
        Ok(answered) => exchange.answer(answered),
        Err(reply) => exchange.answer_locally(*reply),
    })
}

impl Exchange {
    /// The story of a request up to the head of its answer.
    async fn proceed(&mut self) -> Result<Answered, Box<Reply>> {
        self.refuse_upgrades()?;
        self.identify()?;
        let routed = self.route()?;
        self.answer_preflight(&routed)?;
        let forward = match &routed.route.action {
            Action::Forward(forward) => forward,
            Action::Redirect(_) | Action::Direct(_) => return Err(self.answer_of_route(&routed)),
        };
        let cluster_name = self.choose_target(forward)?;
        self.inject_fault(&routed, &cluster_name).await?;
        let cluster = self.cluster(forward, &cluster_name)?;
        let plan = self.transform(&routed, forward);
        attempt::mirror(self, forward);
        attempt::run(self, forward, &cluster, plan).await
    }

    /// Refuses what would change the protocol, unless the listener allows it.
    fn refuse_upgrades(&mut self) -> Result<(), Box<Reply>> {
        let wanted = match self.head.method {
            Method::CONNECT => Some("connect".to_owned()),
            _ => self.head.upgrade().map(str::to_ascii_lowercase),
        };
        // Clients offer `h2c` to everybody and go on without it.
        let allowed = match wanted.as_deref() {
            None | Some("h2c") => false,
            Some(protocol) if self.connection.manager.allows_upgrade(protocol) => true,
            Some(_) => {
                return Err(Reply::new(StatusCode::FORBIDDEN, Flags::NONE, "upgrade_failed"));
            }
        };
        if !allowed {
            self.upgrade = None;
        }
        stage::hop::clean_request(&mut self.head.headers, allowed && self.head.method != Method::CONNECT);
        Ok(())
    }

    /// Finds out who asks for what, and says so in the headers that upstreams rely on.
    fn identify(&mut self) -> Result<(), Box<Reply>> {
        let connection = self.connection.clone();
        let manager = &connection.manager;
        match stage::normalise::normalise(&self.head.path, manager.path) {
            Normalised::Same => {}
            Normalised::Changed(path) => self.head.path = path,
            Normalised::Redirect(path) => {
                let location = HeaderValue::from_str(path.as_str()).ok();
                return Err(Reply::new(
                    StatusCode::TEMPORARY_REDIRECT,
                    Flags::NONE,
                    "path_normalization_failed",
                )
                .header(header::LOCATION, location));
            }
            Normalised::Rejected => {
                return Err(Reply::new(StatusCode::BAD_REQUEST, Flags::NONE, "path_normalization_failed"));
            }
        }
        self.simplify_authority();
        let Head { headers, scheme, .. } = &mut self.head;
        self.record.client = forwarded::identify(manager, headers, connection.facts.remote, scheme);
        if text(headers.get(forwarded::FORWARDED_PROTO)) == "https" {
            *scheme = Scheme::HTTPS;
        } else {
            *scheme = Scheme::HTTP;
        }
        forwarded::request_id(manager, headers, || connection.worker.random_128());
        stage::xfcc::apply(manager.forward_client_cert, connection.client_cert(), headers);
        if let Some(via) = &manager.via {
            headers.append(header::VIA, via.clone());
        }
        Ok(())
    }

    fn simplify_authority(&mut self) {
        let manager = &self.connection.manager;
        let authority = self.head.authority.as_str();
        let mut simple = if manager.strip_port { without_port(authority) } else { authority };
        if manager.strip_trailing_dot {
            simple = simple.strip_suffix('.').unwrap_or(simple);
        }
        if simple.len() < authority.len() {
            let simple = simple.to_owned();
            stage::rewrite::set_authority(&mut self.head, &simple, false);
        }
    }

    /// Finds the route.
    fn route(&mut self) -> Result<Routed, Box<Reply>> {
        let worker = &self.connection.worker;
        let table = stage::route::table(&self.connection.manager.routes, &self.snapshot);
        let table = table.ok_or_else(Reply::no_route)?;
        let routed = stage::route::find(table, &self.head.view(), &mut || worker.random());
        let routed = routed.ok_or_else(Reply::no_route)?;
        self.record.route = Some(routed.route.clone());
        self.routed = Some(routed.clone());
        if routed.host.require_tls != RequireTls::No && self.head.scheme != Scheme::HTTPS {
            return Err(Reply::new(StatusCode::MOVED_PERMANENTLY, Flags::NONE, "direct_response")
                .header(header::LOCATION, stage::redirect::to_https(&self.head)));
        }
        Ok(routed)
    }

    /// Answers CORS preflights, and remembers the origins whose answers are to be marked.
    fn answer_preflight(&mut self, routed: &Routed) -> Result<(), Box<Reply>> {
        if !self.connection.manager.filters.cors {
            return Ok(());
        }
        let Some(policy) = routed.route.cors.as_ref().or(routed.host.cors.as_ref()) else { return Ok(()) };
        match stage::cors::judge(policy, &self.head.method, &self.head.headers) {
            Verdict::Indifferent => Ok(()),
            Verdict::Allowed(origin) => {
                self.cors = Some((policy.clone(), origin));
                Ok(())
            }
            Verdict::Preflight(headers) => {
                let mut reply = Reply::new(StatusCode::OK, Flags::NONE, "cors_response");
                reply.headers = headers;
                Err(reply)
            }
        }
    }

    /// The answer of a route that has one itself.
    fn answer_of_route(&self, routed: &Routed) -> Box<Reply> {
        let mut reply = match &routed.route.action {
            Action::Direct(direct) => {
                Reply::new(direct.status, Flags::NONE, "direct_response").text(direct.body.clone())
            }
            Action::Redirect(redirect) => {
                let scheme = text(self.head.headers.get(forwarded::FORWARDED_PROTO));
                let location =
                    stage::redirect::location(redirect, &routed.route.path.path, &self.head, scheme);
                Reply::new(redirect.status, Flags::NONE, "direct_response").header(header::LOCATION, location)
            }
            Action::Forward(_) => Reply::no_route(),
        };
        reply.edited = true;
        reply
    }

    /// Picks one of the route's clusters by weight.
    fn choose_target(&mut self, forward: &Forward) -> Result<Arc<str>, Box<Reply>> {
        match &forward.destination {
            Destination::Clusters(clusters) => {
                let target = clusters.pick(|| self.connection.worker.random());
                self.target = Some(target.clone());
                Ok(target.cluster.clone())
            }
            Destination::Header(name) => match self.head.header(name) {
                "" => Err(Reply::no_cluster(forward.not_found_status)),
                cluster => Ok(cluster.into()),
            },
        }
    }

    fn cluster(&mut self, forward: &Forward, name: &str) -> Result<Arc<Cluster>, Box<Reply>> {
        let cluster = self.snapshot.cluster(name).cloned();
        let cluster = cluster.ok_or_else(|| Reply::no_cluster(forward.not_found_status))?;
        self.record.cluster = Some(cluster.clone());
        Ok(cluster)
    }

    /// Delays or aborts the request on purpose.
    async fn inject_fault(&mut self, routed: &Routed, cluster: &str) -> Result<(), Box<Reply>> {
        let Some(default) = &self.connection.manager.filters.fault else { return Ok(()) };
        let fault = routed.route.fault.as_ref().or(routed.host.fault.as_ref()).or(default.as_ref());
        let Some(fault) = fault else { return Ok(()) };
        let worker = &self.connection.worker;
        let node = &worker.shared.settings.node;
        let injected = stage::fault::decide(fault, &self.head.view(), cluster, node, &mut || worker.random());
        let Some(_active) = worker.shared.faults.enter(fault.max_active) else { return Ok(()) };
        if let Some(delay) = injected.delay {
            self.record.flags.set(Flags::DELAY_INJECTED);
            tokio::time::sleep(delay).await;
        }
        let Some(abort) = injected.abort else { return Ok(()) };
        let (status, grpc_status) = match abort {
            Abort::Http(status) => (status, None),
            Abort::Grpc(status) => (StatusCode::OK, Some(status)),
        };
        let mut reply =
            Reply::new(status, Flags::FAULT_INJECTED, "fault_filter_abort").text("fault filter abort");
        reply.grpc_status = grpc_status;
        Err(reply)
    }

    /// Makes the head what the upstream is to see, and settles what attempts may be made.
    fn transform(&mut self, routed: &Routed, forward: &Forward) -> Plan {
        let connection = self.connection.clone();
        let trusted = !connection.manager.use_remote_address;
        let policy = forward.retry.as_deref();
        let limits = stage::timeout::limits(forward, policy, &mut self.head.headers, self.grpc, trusted);
        let retries = Retries::new(policy, &mut self.head.headers, trusted);
        let hashed = stage::hash::of(&forward.hash, &self.head, self.record.client, connection.facts.local);
        self.cookies = hashed.cookies;
        if routed.host.attempt_count_in_request {
            self.head.headers.insert(ATTEMPT_COUNT, HeaderValue::from_static("1"));
        }
        let target = self.target.take();
        let hostname = &connection.worker.shared.settings.hostname;
        for edits in respond::levels(routed, target.as_ref(), |level| level.request) {
            stage::headers::edit_request(edits, &mut self.head, &self.record, hostname);
        }
        stage::rewrite::apply(&routed.route, forward, target.as_ref(), &mut self.head);
        if !connection.manager.access_logs.is_empty()
            && let Some(facts) = &mut self.record.request
        {
            facts.headers = Some(Box::new(self.head.headers.clone()));
        }
        self.target = target;
        let again = policy.map_or(0, |policy| policy.host_selection_attempts);
        let other_priorities = policy.is_some_and(|policy| policy.other_priorities);
        Plan { limits, retries, hash: hashed.hash, again, other_priorities }
    }
}
