//! Attempts: pick an endpoint, send the request, and again if that is allowed.

use std::{pin::pin, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Response};
use tokio::time::Instant;

use super::{
    Exchange,
    body::RequestBody,
    limits::{Clock, Deadline},
    outcome::Flags,
    reply::Reply,
};
use crate::{
    snapshot::{Cluster, route::Forward},
    stage::{
        self,
        retry::{Failure, Retries},
        timeout::Timeouts,
    },
    upstream::{Connected, Endpoint, Pick, ResponseBody, SendError, limits::Permit, limits::Resource},
};

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// What attempts may be made.
#[derive(Debug)]
pub struct Plan {
    /// How long they may take.
    pub limits: Timeouts,
    /// Whether and when another is made.
    pub retries: Option<Retries>,
    /// The hash for consistent hashing.
    pub hash: Option<u64>,
    /// How often another endpoint is looked for because one was tried already.
    pub again: u32,
    /// Prefer priorities that weren't tried.
    pub other_priorities: bool,
}

/// The answer of an upstream.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub response: Response<ResponseBody>,
    /// When its last byte must have come.
    pub deadline: Option<Deadline>,
    /// The connection to the endpoint, where there is no body but a tunnel.
    pub tunnel: Option<Connected>,
}

/// How an attempt ended.
pub(super) enum Ended {
    /// With an answer.
    Answer(Response<ResponseBody>),
    /// Without one.
    Failed(SendError),
    /// It took longer than an attempt may.
    TryTimeout,
    /// All attempts took longer than the route allows.
    Timeout,
    /// A limit of the listener's was reached.
    Late(Box<Reply>),
}

impl From<Result<Response<ResponseBody>, SendError>> for Ended {
    fn from(result: Result<Response<ResponseBody>, SendError>) -> Self {
        match result {
            Ok(response) => Self::Answer(response),
            Err(error) => Self::Failed(error),
        }
    }
}

/// Makes attempts until there is an answer that counts.
pub(super) async fn run(
    exchange: &mut Exchange,
    forward: &Forward,
    cluster: &Arc<Cluster>,
    mut plan: Plan,
) -> Result<Answered, Box<Reply>> {
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    let mut clock = Clock::new(exchange, plan.limits);
    let mut refreshed = false;
    let mut permit = None;
    loop {
        let endpoint = pick(exchange, cluster, &plan, &tried)?;
        let ended = send(exchange, forward, cluster, &endpoint, &plan, &mut clock).await;
        drop(permit.take());
        if let Ended::Failed(error) = &ended
            && error.stale
            && !refreshed
            && is_repeatable(&exchange.head.method)
            && exchange.source.can_repeat()
        {
            // The endpoint had closed a connection that was idle: no attempt was really made.
            refreshed = true;
            continue;
        }
        let Some(wait) = wait_before_retry(exchange, cluster, &mut plan, &ended, &mut permit) else {
            return conclude(exchange, ended, clock.deadline());
        };
        drop(ended);
        if let Some(deadline) = clock.outlasted_by(wait) {
            tokio::time::sleep_until(deadline).await;
            return Err(Reply::timeout("response_timeout"));
        }
        tokio::time::sleep(wait).await;
        tried.push(endpoint);
    }
}

pub(super) fn pick(
    exchange: &mut Exchange,
    cluster: &Arc<Cluster>,
    plan: &Plan,
    tried: &[Arc<Endpoint>],
) -> Result<Arc<Endpoint>, Box<Reply>> {
    let facts = &exchange.connection.facts;
    let want = Pick {
        hash: plan.hash,
        tried,
        again: if tried.is_empty() { 0 } else { plan.again },
        other_priorities: plan.other_priorities,
        destination: Some(facts.local),
    };
    let picked = exchange.connection.worker.upstreams.pick(cluster, &want);
    let endpoint = picked.ok_or_else(Reply::no_healthy_upstream)?;
    exchange.record.endpoint = Some(endpoint.clone());
    exchange.record.attempts += 1;
    Ok(endpoint)
}

/// Sends the request to one endpoint.
async fn send(
    exchange: &mut Exchange,
    forward: &Forward,
    cluster: &Arc<Cluster>,
    endpoint: &Arc<Endpoint>,
    plan: &Plan,
    clock: &mut Clock,
) -> Ended {
    stage::rewrite::apply_endpoint_name(forward, endpoint.hostname.as_deref(), &mut exchange.head);
    let attempts = exchange.record.attempts;
    if attempts > 1 {
        plan.limits.tell(clock.elapsed(), &mut exchange.head.headers);
        if exchange.head.headers.contains_key(ATTEMPT_COUNT) {
            exchange.head.headers.insert(ATTEMPT_COUNT, HeaderValue::from(attempts));
        }
    }
    let more = plan.retries.as_ref().is_some_and(Retries::left);
    if !more {
        exchange.source.keep_up_to(0);
    }
    let body = exchange.source.attempt();
    let request = exchange.head.request(body);
    let worker = exchange.connection.worker.clone();
    let started = Instant::now();
    let sent = pin!(worker.upstreams.send(cluster, endpoint, request));
    let ended = clock.limit(&exchange.source, sent).await;
    match ended {
        Ended::Answer(_) => exchange.record.upstream_service_time = Some(started.elapsed()),
        Ended::TryTimeout | Ended::Timeout => worker.upstreams.timed_out(cluster, endpoint),
        Ended::Failed(_) | Ended::Late(_) => {}
    }
    ended
}

/// Whether and how long to wait before another attempt. Takes the permit that it needs.
fn wait_before_retry(
    exchange: &mut Exchange,
    cluster: &Arc<Cluster>,
    plan: &mut Plan,
    ended: &Ended,
    permit: &mut Option<Permit>,
) -> Option<Duration> {
    let retries = plan.retries.as_mut()?;
    let wanted = match ended {
        Ended::Answer(response) => retries.wants_after_response(response.status(), response.headers()),
        Ended::Failed(error) => retries.wants_after_failure(error.failure),
        Ended::TryTimeout => retries.wants_after_failure(Failure::TryTimeout),
        Ended::Timeout | Ended::Late(_) => false,
    };
    if !wanted || !exchange.source.can_repeat() {
        return None;
    }
    if !retries.left() {
        exchange.record.flags.set(Flags::RETRY_LIMIT);
        cluster.state.stats.upstream_rq_retry_limit_exceeded.inc();
        return None;
    }
    *permit = Permit::take(&cluster.state, &cluster.config.limits, Resource::Retries);
    if permit.is_none() {
        exchange.record.flags.set(Flags::UPSTREAM_OVERFLOW);
        cluster.state.stats.upstream_rq_retry_overflow.inc();
        return None;
    }
    cluster.state.stats.upstream_rq_retry.inc();
    Some(retries.take(exchange.connection.worker.random()))
}

/// What the client gets when no further attempt is made.
fn conclude(
    exchange: &mut Exchange,
    ended: Ended,
    deadline: Option<Deadline>,
) -> Result<Answered, Box<Reply>> {
    match ended {
        Ended::Answer(response) => Ok(Answered { response, deadline, tunnel: None }),
        Ended::Timeout => Err(Reply::timeout("response_timeout")),
        Ended::TryTimeout => Err(Reply::timeout("upstream_per_try_timeout")),
        Ended::Late(reply) => Err(reply),
        Ended::Failed(_) if exchange.source.failed() => Err(Reply::client_gone()),
        Ended::Failed(error) => {
            exchange.record.upstream_failure.clone_from(&error.transport);
            Err(Reply::upstream_failed(&error, exchange.record.attempts > 1))
        }
    }
}

/// Methods that may be sent again although the first may have arrived (RFC 9110 9.2.2).
fn is_repeatable(method: &Method) -> bool {
    method.is_idempotent()
}

/// Sends copies of the request to the route's mirrors. What becomes of them has no influence on the request.
pub(super) fn mirror(exchange: &mut Exchange, forward: &Forward) {
    if forward.mirrors.is_empty() {
        return;
    }
    let worker = exchange.connection.worker.clone();
    // The node's id has the address after its role: `sidecar~10.0.0.1~...`.
    let own = worker.shared.settings.node.split('~').nth(1).and_then(|address| address.parse().ok());
    for mirror in stage::mirror::chosen(&forward.mirrors, || worker.random()) {
        let Some(cluster) = exchange.snapshot.cluster(&mirror.cluster).cloned() else { continue };
        let body = exchange.source.mirror();
        let request = stage::mirror::head(mirror, &exchange.head, own).into_request(body);
        tokio::task::spawn_local(send_copy(worker.clone(), cluster, request));
    }
}

/// A mirror has as long as an endpoint takes, within reason.
const MIRROR: Duration = Duration::from_mins(1);

async fn send_copy(
    worker: std::rc::Rc<crate::runtime::Worker>,
    cluster: Arc<Cluster>,
    request: http::Request<RequestBody>,
) {
    let Some(endpoint) = worker.upstreams.pick(&cluster, &Pick::default()) else { return };
    let sent = async {
        let response = worker.upstreams.send(&cluster, &endpoint, request).await.ok()?;
        http_body_util::BodyExt::collect(response.into_body()).await.ok().map(drop)
    };
    if tokio::time::timeout(MIRROR, sent).await.ok().flatten().is_none() {
        tracing::debug!(cluster = %cluster.name, "a mirrored request failed");
    }
}
