//! Connections of one worker to one endpoint, for one kind of request.
//!
//! A request takes a [`Lease`] of a connection: an idle one, a stream of an HTTP/2 connection, or what is made for it.
//! While it waits it counts as pending. The limits are the cluster's: where no connection may be added the request
//! waits for one of this pool's, and a pool without any may always have one (Envoy's rule against starvation).

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    sync::Arc,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    connect::{Connector, Fresh, Target},
    error::SendError,
    http1::Http1,
    http2::{self, Http2, Stream},
    limits::{Permit, Resource},
    state::{ClusterState, EndpointState},
};
use crate::snapshot::cluster::ClusterConfig;

/// Connections to one endpoint.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) target: Target,
    pub(super) endpoint: Arc<EndpointState>,
    state: Arc<ClusterState>,
    config: RefCell<Arc<ClusterConfig>>,
    connector: Rc<Connector>,
    inner: RefCell<Inner>,
    /// Connections that are there or being made.
    connections: Cell<u32>,
    draining: Cell<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The one that was used last is the last.
    #[expect(clippy::vec_box, reason = "they move to requests and back, boxed all the way")]
    idle: Vec<Box<Http1>>,
    http2: Vec<Rc<Http2>>,
    waiting: VecDeque<Waiter>,
    connecting: usize,
    /// What the last connection turned out to speak.
    speaks_http2: Option<bool>,
}

type Waiter = oneshot::Sender<Result<Lease, SendError>>;

/// A connection to send one request on. Unused, it goes back.
#[derive(Debug)]
pub(super) struct Lease(Option<Leased>);

/// What was leased.
#[derive(Debug)]
pub(super) enum Leased {
    Http1(Box<Http1>),
    Http2(Stream),
}

impl Lease {
    pub(super) fn take(mut self) -> Option<Leased> {
        self.0.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Leased::Http1(connection)) = self.0.take() {
            connection.give_back();
        }
    }
}

/// Counts a connection for as long as it exists.
#[derive(Debug)]
pub(super) struct Held {
    pool: Weak<Pool>,
    _permit: Permit,
}

impl Held {
    pub(super) fn pool(&self) -> Option<Rc<Pool>> {
        self.pool.upgrade()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.connections.set(pool.connections.get() - 1);
            // Where the pool is at work itself, it looks after those who wait when it is done.
            let waiting = pool.inner.try_borrow().is_ok_and(|inner| !inner.waiting.is_empty());
            if waiting && !pool.draining.get() {
                pool.connect_as_needed();
            }
        }
    }
}

impl Pool {
    pub(super) fn new(
        target: Target,
        endpoint: Arc<EndpointState>,
        state: Arc<ClusterState>,
        config: Arc<ClusterConfig>,
        connector: Rc<Connector>,
    ) -> Rc<Self> {
        Rc::new(Self {
            target,
            endpoint,
            state,
            config: RefCell::new(config),
            connector,
            inner: RefCell::default(),
            connections: Cell::new(0),
            draining: Cell::new(false),
        })
    }

    /// Goes on under a new configuration. False if its connections don't fit that one.
    pub(super) fn adopt(&self, config: &Arc<ClusterConfig>, target: impl FnOnce() -> Target) -> bool {
        let mut present = self.config.borrow_mut();
        if Arc::ptr_eq(&present, config) {
            return true;
        }
        let fits = present.http == config.http && self.target == target();
        if fits {
            *present = config.clone();
        }
        fits
    }

    /// A connection for one request.
    pub(super) async fn acquire(self: &Rc<Self>) -> Result<Lease, SendError> {
        if let Some(leased) = self.ready() {
            return Ok(Lease(Some(leased)));
        }
        let config = self.config.borrow().clone();
        let Some(_pending) = Permit::take(&self.state, &config.limits, Resource::Pending) else {
            self.state.stats.upstream_rq_pending_overflow.inc();
            return Err(SendError::overflow());
        };
        self.state.stats.upstream_rq_pending_total.inc();
        let (waiter, turn) = oneshot::channel();
        self.inner.borrow_mut().waiting.push_back(waiter);
        self.connect_as_needed();
        let leased = turn.await;
        leased.unwrap_or_else(|_| Err(SendError::overflow()))
    }

    /// A connection that is there already.
    fn ready(&self) -> Option<Leased> {
        let mut inner = self.inner.borrow_mut();
        if let Some(stream) = inner.http2.iter().find_map(http2::open) {
            return Some(Leased::Http2(stream));
        }
        let config = self.config.borrow();
        while let Some(mut connection) = inner.idle.pop() {
            if connection.usable(&config.http, Instant::now()) {
                return Some(Leased::Http1(connection));
            }
            self.state.stats.upstream_cx_destroy_remote.inc();
        }
        None
    }

    /// Begins as many connections as those who wait need and the limits allow.
    pub(super) fn connect_as_needed(self: &Rc<Self>) {
        loop {
            let mut inner = self.inner.borrow_mut();
            inner.waiting.retain(|waiter| !waiter.is_closed());
            if inner.connecting * self.streams_expected(&inner) >= inner.waiting.len() {
                return;
            }
            let limits = &self.config.borrow().limits;
            let permit = match Permit::take(&self.state, limits, Resource::Connections) {
                Some(permit) => permit,
                None if self.connections.get() == 0 => Permit::force(&self.state, Resource::Connections),
                None => {
                    self.state.stats.upstream_cx_overflow.inc();
                    return;
                }
            };
            inner.connecting += 1;
            self.connections.set(self.connections.get() + 1);
            let held = Held { pool: Rc::downgrade(self), _permit: permit };
            tokio::task::spawn_local(self.clone().connect(held));
        }
    }

    /// Requests that a connection which is being made will probably carry.
    fn streams_expected(&self, inner: &Inner) -> usize {
        if inner.speaks_http2.unwrap_or_else(|| self.target.may_be_http2()) {
            http2::max_streams(&self.config.borrow().http) as usize
        } else {
            1
        }
    }

    async fn connect(self: Rc<Self>, held: Held) {
        self.state.stats.upstream_cx_total.inc();
        let result = self.connector.connect(&self.target).await;
        let config = self.config.borrow().clone();
        let result = match result {
            Ok(fresh) if fresh.http2 => {
                let stats = &self.state.stats;
                stats.upstream_cx_http2_total.inc();
                http2::start(fresh, held, &config.http).await.map(Made::Http2)
            }
            Ok(Fresh { io, link, .. }) => {
                self.state.stats.upstream_cx_http1_total.inc();
                Ok(Made::Http1(Http1::new(io, link, held)))
            }
            Err(error) => Err(error),
        };
        let made = {
            let mut inner = self.inner.borrow_mut();
            inner.connecting -= 1;
            result
        };
        match made {
            Ok(Made::Http1(connection)) => {
                self.inner.borrow_mut().speaks_http2 = Some(false);
                self.give_back(connection);
            }
            Ok(Made::Http2(connection)) => {
                let mut inner = self.inner.borrow_mut();
                inner.speaks_http2 = Some(true);
                inner.http2.push(connection);
                drop(inner);
                self.serve_waiting();
            }
            Err(error) => self.fail_waiting(&error),
        }
        self.connect_as_needed();
    }

    fn fail_waiting(&self, error: &SendError) {
        let stats = &self.state.stats;
        if error.reason == super::ResetReason::ConnectionTimeout {
            stats.upstream_cx_connect_timeout.inc();
        }
        stats.upstream_cx_connect_fail.inc();
        let waiting = std::mem::take(&mut self.inner.borrow_mut().waiting);
        for waiter in waiting {
            stats.upstream_rq_pending_failure_eject.inc();
            // Whoever has stopped waiting doesn't mind.
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// Takes a connection back after a request, or a new one.
    pub(super) fn give_back(&self, mut connection: Box<Http1>) {
        if self.draining.get() || !connection.reusable(&self.config.borrow().http, Instant::now()) {
            return;
        }
        loop {
            let Some(waiter) = self.next_waiting() else {
                self.inner.borrow_mut().idle.push(connection);
                return;
            };
            match waiter.send(Ok(Lease(Some(Leased::Http1(connection))))) {
                Ok(()) => return,
                Err(Ok(mut lease)) => match lease.0.take() {
                    Some(Leased::Http1(returned)) => connection = returned,
                    _ => return,
                },
                Err(Err(_)) => return,
            }
        }
    }

    /// Gives streams of HTTP/2 connections to those who wait.
    pub(super) fn serve_waiting(&self) {
        loop {
            let Some(waiter) = self.next_waiting() else { return };
            let stream = self.inner.borrow().http2.iter().find_map(http2::open);
            let Some(stream) = stream else { return self.inner.borrow_mut().waiting.push_front(waiter) };
            // Whoever has stopped waiting this moment gives the stream back.
            let _ = waiter.send(Ok(Lease(Some(Leased::Http2(stream)))));
        }
    }

    fn next_waiting(&self) -> Option<Waiter> {
        let mut inner = self.inner.borrow_mut();
        while let Some(waiter) = inner.waiting.pop_front() {
            if !waiter.is_closed() {
                return Some(waiter);
            }
        }
        None
    }

    /// Forgets an HTTP/2 connection that takes no more requests.
    pub(super) fn remove_http2(&self, gone: &Rc<Http2>) {
        self.inner.borrow_mut().http2.retain(|connection| !Rc::ptr_eq(connection, gone));
    }

    /// No new request uses the connections; those under way end in peace.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        let mut inner = self.inner.borrow_mut();
        let (idle, http2) = (std::mem::take(&mut inner.idle), std::mem::take(&mut inner.http2));
        drop(inner);
        drop((idle, http2));
    }

    /// Closes what has been idle for too long or has died. True if nothing is left.
    pub(super) fn sweep(self: &Rc<Self>, now: Instant) -> bool {
        let http = self.config.borrow().http;
        let mut inner = self.inner.borrow_mut();
        let stats = &self.state.stats;
        let idle = std::mem::take(&mut inner.idle);
        let (keep, close): (Vec<_>, Vec<_>) =
            idle.into_iter().partition(|connection| !connection.expired(&http, now));
        stats.upstream_cx_idle_timeout.add(close.len() as u64);
        inner.idle = keep;
        inner.idle.retain_mut(|connection| connection.usable(&http, now));
        let (keep, close2): (Vec<_>, Vec<_>) = std::mem::take(&mut inner.http2)
            .into_iter()
            .partition(|connection| !connection.expired(&http, now));
        inner.http2 = keep;
        let waiting = !inner.waiting.is_empty();
        drop(inner);
        drop((close, close2));
        if waiting {
            self.connect_as_needed();
        }
        self.connections.get() == 0 && !waiting
    }

    pub(super) fn state(&self) -> &Arc<ClusterState> {
        &self.state
    }
}

enum Made {
    Http1(Box<Http1>),
    Http2(Rc<Http2>),
}
