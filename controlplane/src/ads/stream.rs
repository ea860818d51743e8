//! The life of one stream: requests in, pushes out, nothing queued.
//!
//! It runs inside the response's own task, so a push wakes one task and copies once.

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, Stream, StreamExt as _};
use tonic::Status;
use translate::{Client, ProxyNode};
use xds::ResourceType;
use xds::names::Role;
use xds::server::{DeltaServer, Limits, Next, Plan, Received};

use super::connections::{Connection, Refusal, Shown};
use super::framing::Requests;
use super::identity;
use super::push::Push;
use super::service::Context;
use crate::auth::Caller;
use crate::mesh::{Registration, ViewSnapshot};
use crate::serve::Peer;

/// A stream before and after it knows its proxy.
pub(super) struct AdsStream {
    context: Arc<Context>,
    peer: Peer,
    caller: Option<Caller>,
    requests: Requests,
    proxy: Option<Proxy>,
    /// Old age, or the end of the process; looked at only when one of them has come.
    end: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// What is known after the first request.
struct Proxy {
    server: DeltaServer<ViewSnapshot>,
    registration: Registration,
    target: Arc<ViewSnapshot>,
    shown: Shown,
    /// Whether it may have keys. Gateways are asked about at once, sidecars when they want a Secret, which few do.
    entitled: Option<bool>,
    introduced: bool,
    /// When the change was seen that is being sent; none while a new stream gets what there is.
    news: Option<Instant>,
    /// Since something was refused: what is in flight, by type, which the proxy may accept now.
    resent: Option<[Vec<Arc<str>>; ResourceType::ALL.len()]>,
}

/// What woke the stream.
enum Wake {
    Request(Box<DeltaDiscoveryRequest>),
    Snapshot(Arc<ViewSnapshot>),
    /// It is time to look again.
    Time,
    /// Either side is gone or wants to go.
    End,
}

impl AdsStream {
    pub(super) fn new(context: Arc<Context>, peer: Peer, caller: Option<Caller>, requests: Requests) -> Self {
        // A tenth more or less, so that a fleet does not come back at once.
        let age = context.max_age.mul_f64(0.9 + 0.2 * rand::random::<f64>());
        let stop = context.stop.clone().cancelled_owned();
        let end = FuturesUnordered::from_iter([tokio::time::sleep(age).boxed(), stop.boxed()]);
        Self { context, peer, caller, requests, proxy: None, end }
    }

    pub(super) fn into_pushes(self) -> impl Stream<Item = Result<Push, Status>> + Send {
        futures::stream::unfold(Some(self), |stream| async move {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(push)) => Some((Ok(push), Some(stream))),
                Ok(None) => None,
                Err(status) => {
                    tracing::info!(address = %stream.peer.address, code = ?status.code(), reason = status.message(), "stream refused");
                    Some((Err(status), None))
                }
            }
        })
    }

    /// The next push; none when the stream is over.
    async fn next(&mut self) -> Result<Option<Push>, Status> {
        if self.proxy.is_none() {
            self.proxy = self.introduction().await?;
        }
        let Self { context, requests, proxy: Some(proxy), end, caller, .. } = self else { return Ok(None) };
        loop {
            let until = match proxy.server.poll(&proxy.target, Instant::now()) {
                Next::Send(plan) => {
                    if plan.kind == ResourceType::Secret && proxy.entitled.is_none() {
                        proxy.entitled = Some(may_read_secrets(context, caller.as_ref()).await);
                    }
                    return Ok(Some(proxy.push(plan, context)));
                }
                Next::Wait(until) => Some(until),
                Next::Idle => {
                    proxy.news = None;
                    None
                }
            };
            match wake(requests, proxy, end, until).await? {
                Wake::Request(request) => proxy.receive(*request, context)?,
                Wake::Snapshot(snapshot) => proxy.look_at(snapshot),
                Wake::Time => {}
                Wake::End => return Ok(None),
            }
        }
    }

    /// Reads the first request, checks who it is from, and registers the proxy.
    async fn introduction(&mut self) -> Result<Option<Proxy>, Status> {
        let first = tokio::time::timeout(self.context.first_request, self.requests.message()).await;
        let Some(request) = first.map_err(|_| Status::deadline_exceeded("no request on this stream"))??
        else {
            return Ok(None);
        };
        let node = identity::check(request.node.as_ref(), self.caller.as_ref())?;
        let (context, caller) = (self.context.clone(), self.caller.clone());
        let entitled = match node.id.role {
            Role::Router => Some(may_read_secrets(&context, caller.as_ref()).await),
            Role::Sidecar => None,
        };
        let resend_endpoints = node.client == Client::Envoy;
        let Some(registration) = self.context.views.register(node.clone()).await else { return Ok(None) };
        let connection = self.connection(&node, &request, &registration);
        let target = registration.slot.get();
        tracing::info!(proxy = connection.id(), address = %self.peer.address, "connected");
        let mut proxy = Proxy {
            server: DeltaServer::new(Limits::default(), resend_endpoints),
            target,
            shown: self.context.connections.show(connection),
            registration,
            entitled,
            introduced: false,
            news: None,
            resent: None,
        };
        self.context.metrics.streams.inc();
        proxy.receive(request, &self.context)?;
        Ok(Some(proxy))
    }

    fn connection(
        &self,
        node: &ProxyNode,
        request: &DeltaDiscoveryRequest,
        registration: &Registration,
    ) -> Arc<Connection> {
        let claimed =
            |key| request.node.as_ref().and_then(|node| identity::claimed(node, key)).unwrap_or_default();
        let agent = request.node.as_ref().and_then(|node| match &node.user_agent_version_type {
            Some(UserAgentVersionType::UserAgentVersion(version)) => Some(version.clone()),
            _ => None,
        });
        let version =
            Some(claimed("ISTIO_VERSION").to_owned()).filter(|version| !version.is_empty()).or(agent);
        Arc::new(Connection {
            number: self.context.connections.number(),
            proxy: format!("{}.{}", node.id.pod, node.id.namespace),
            node: node.id.to_string(),
            role: node.id.role.as_str(),
            namespace: node.id.namespace.clone(),
            cluster_id: claimed("CLUSTER_ID").to_owned(),
            version: version.unwrap_or_default(),
            address: self.peer.address,
            connected: jiff::Timestamp::now(),
            slot: registration.slot.clone(),
            types: Default::default(),
            settled: Default::default(),
            refusals: Default::default(),
        })
    }
}

/// Waits for what comes first. One function that polls everything in turn: it runs twice for every push, and what is read
/// before what is new, because an acknowledgement may be all that the news waits for.
///
/// Without a time to wait until, all that was read is answered: only then the proxy counts as settled, because a stock Envoy
/// asks for the routes of a listener just after it has acknowledged it.
async fn wake(
    requests: &mut Requests,
    proxy: &Proxy,
    end: &mut FuturesUnordered<BoxFuture<'static, ()>>,
    until: Option<Instant>,
) -> Result<Wake, Status> {
    let mut pause = until.map(|until| Box::pin(tokio::time::sleep_until(until.into())));
    let mut idle = until.is_none();
    poll_fn(|context| {
        if let Poll::Ready(request) = requests.poll_message(context) {
            let wake = |request: Option<_>| request.map_or(Wake::End, |it| Wake::Request(Box::new(it)));
            return Poll::Ready(request.map(wake));
        }
        if std::mem::take(&mut idle) {
            proxy.settle();
        }
        if let Poll::Ready(snapshot) = proxy.registration.slot.poll_other(&proxy.target, context) {
            return Poll::Ready(Ok(snapshot.map_or(Wake::End, Wake::Snapshot)));
        }
        if end.poll_next_unpin(context).is_ready() {
            return Poll::Ready(Ok(Wake::End));
        }
        match &mut pause {
            Some(pause) => pause.as_mut().poll(context).map(|()| Ok(Wake::Time)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Keys leave only to an authenticated caller that may read Secrets in its own namespace.
async fn may_read_secrets(context: &Context, caller: Option<&Caller>) -> bool {
    match caller {
        Some(caller) => context.secrets.entitle(caller).await,
        None => false,
    }
}

impl Proxy {
    fn look_at(&mut self, snapshot: Arc<ViewSnapshot>) {
        self.news = Some(snapshot.since);
        self.target = snapshot;
    }

    fn receive(&mut self, request: DeltaDiscoveryRequest, context: &Context) -> Result<(), Status> {
        let received = self.server.request(request, &self.target);
        let received = received.map_err(|violation| Status::resource_exhausted(violation.to_string()))?;
        let connection = &self.shown.connection;
        match received {
            Received::Subscription(_) => {}
            Received::Ack(kind) => {
                self.acknowledged(kind);
                *connection.of(kind).rejected.lock() = None;
                if let Some(resent) = &mut self.resent
                    && !connection.accept(kind, &std::mem::take(&mut resent[kind as usize]))
                {
                    self.resent = None;
                }
            }
            Received::Nack { kind, message } => {
                context.metrics.of(kind).rejects.inc();
                let message: String = message.chars().take(4096).collect();
                tracing::warn!(proxy = connection.id(), r#type = %kind, message, "resources rejected");
                self.acknowledged(kind);
                self.resent.get_or_insert_default();
                connection.refuse(self.refusal(kind, &message));
                *connection.of(kind).rejected.lock() = Some(message);
            }
            Received::StaleNonce(kind) => context.metrics.of(kind).expired_nonces.inc(),
            Received::UnknownType(url) => {
                tracing::debug!(proxy = connection.id(), type_url = url, "a type that is not served");
            }
        }
        Ok(())
    }

    /// Lets those who ask know how far this proxy is, once it has answered everything.
    fn settle(&self) {
        if self.server.is_settled(&self.target) {
            self.shown.connection.settle(self.target.id());
        }
    }

    /// Proxies name what they refuse, somewhere in their words.
    fn refusal(&self, kind: ResourceType, message: &str) -> Refusal {
        let mut names = self.target.resources().iter(kind).map(|resource| &resource.name).collect::<Vec<_>>();
        names.retain(|name| message.contains(&***name));
        let names = names.into_iter().cloned().collect();
        Refusal { kind, snapshot: self.target.id(), names, message: message.to_owned() }
    }

    fn acknowledged(&self, kind: ResourceType) {
        let (_, acknowledged) = self.server.nonces(kind);
        self.shown.connection.of(kind).acknowledged.store(acknowledged, Ordering::Relaxed);
    }

    fn push(&mut self, mut plan: Plan, context: &Arc<Context>) -> Push {
        if plan.kind == ResourceType::Secret && self.entitled != Some(true) {
            plan.remove.append(&mut plan.send);
        }
        let connection = &self.shown.connection;
        connection.of(plan.kind).sent.store(plan.nonce, Ordering::Relaxed);
        connection.unsettle(self.target.id());
        if let Some(resent) = &mut self.resent {
            resent[plan.kind as usize].clone_from(&plan.send);
        }
        if let Some(seen) = self.news {
            context.metrics.convergence.observe(seen.elapsed().as_secs_f64());
        }
        let introduce = !std::mem::replace(&mut self.introduced, true);
        Push { plan, snapshot: self.target.clone(), introduce, context: context.clone() }
    }
}

impl Drop for AdsStream {
    fn drop(&mut self) {
        if let Some(proxy) = &self.proxy {
            self.context.metrics.streams.dec();
            tracing::info!(proxy = proxy.shown.connection.id(), "disconnected");
        }
    }
}
