//! The path of a request, from its head to the answer's.
//!
//! [`handle`] is what hyper calls. The story is [`Exchange::proceed`]: identify, route, answer without an upstream if
//! the route says so, transform, pick, send, retry; and then [`respond`]. The stages are plain functions in `stage`;
//! what happened is noted in the request's [`Record`], which is handed to `observe` when the last byte has gone.

pub mod attempt;
pub mod body;
pub mod callers;
mod decide;
pub mod head;
mod identify;
pub mod limits;
pub mod messages;
pub mod outcome;
pub mod record;
pub mod reply;
mod respond;
pub mod response;
pub mod server;
mod tap;
mod transform;
mod tunnel;

use std::{convert::Infallible, rc::Rc, sync::Arc};

use http::{HeaderValue, Method, Request, Response, Version, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use self::{
    attempt::Answered, body::Source, head::Head, outcome::RequestFacts, record::Record, reply::Reply,
    response::ClientBody, server::HttpConnection,
};
use crate::{
    snapshot::{
        Snapshot,
        route::{Action, Cors, Target, is_grpc},
    },
    stage::route::Routed,
};

/// Bytes of a request's body that are kept for another attempt, where nothing is configured.
const REPLAY_LIMIT: u64 = 1 << 20;

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
    /// The client asks what is decided, and may.
    asked: bool,
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
    if grpc && connection.manager.filters.grpc_stats {
        source.count_messages();
    }
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
        asked: false,
    };
    Ok(match exchange.proceed().await {
        Ok(answered) => exchange.answer(answered),
        Err(reply) => exchange.answer_locally(*reply),
    })
}

impl Exchange {
    /// The story of a request up to the head of its answer.
    async fn proceed(&mut self) -> Result<Answered, Box<Reply>> {
        let upgrade = self.wanted_upgrade();
        self.identify()?;
        let routed = self.route()?;
        let forward = match &routed.route.action {
            Action::Forward(forward) => forward,
            Action::Redirect(_) | Action::Direct(_) => return Err(self.answer_of_route(&routed)),
        };
        self.check_upgrade(upgrade, forward)?;
        let cluster_name = self.choose_target(forward)?;
        self.inject_fault(&routed, &cluster_name).await?;
        self.answer_preflight(&routed)?;
        let cluster = self.cluster(forward)?;
        let plan = self.transform(&routed, forward);
        if forward.connect && self.head.method == Method::CONNECT {
            return tunnel::connect(self, &cluster, &plan).await;
        }
        attempt::mirror(self, forward);
        attempt::run(self, forward, &cluster, plan).await
    }
}
