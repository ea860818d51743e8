//! An answer's body, which drives its exchange and gives the connection back when it is over.

use std::{
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    error::BodyError,
    http1::Http1,
    http2::Http2Body,
    io::{Connected, Counted, Link},
    limits::Permit,
    state::{ClusterState, EndpointState},
};

/// Counts a request for as long as it lasts.
#[derive(Debug)]
pub(super) struct Underway {
    cluster: Arc<ClusterState>,
    endpoint: Arc<EndpointState>,
    /// Set when it has a connection.
    permit: Option<Permit>,
    answered: bool,
}

impl Underway {
    pub(super) fn begin(cluster: &Arc<ClusterState>, endpoint: &Arc<EndpointState>) -> Self {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Self { cluster: cluster.clone(), endpoint: endpoint.clone(), permit: None, answered: false }
    }

    pub(super) fn admit(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// There was an answer, or a failure that was counted as such.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.endpoint.active.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.cluster.stats.upstream_rq_cancelled.inc();
        }
    }
}

/// An answer's body.
#[derive(Debug, Default)]
pub struct ResponseBody {
    kind: Kind,
    link: Option<Rc<Link>>,
    underway: Option<Underway>,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Http1(Box<Http1>),
    Http2(Box<Http2Body>),
    /// No body: the connection now speaks something else.
    Upgraded(Box<Connected>),
}

impl ResponseBody {
    pub(super) fn http1(connection: Box<Http1>, underway: Underway) -> Self {
        let link = Some(connection.link().clone());
        if connection.body_is_over() {
            connection.give_back();
            return Self { link, ..Self::default() };
        }
        Self { kind: Kind::Http1(connection), link, underway: Some(underway) }
    }

    pub(super) fn http2(body: Box<Http2Body>, underway: Underway) -> Self {
        let link = Some(body.link().clone());
        if body.is_over() {
            return Self { link, ..Self::default() };
        }
        Self { kind: Kind::Http2(body), link, underway: Some(underway) }
    }

    pub(super) fn upgraded(connection: Box<Http1>, underway: Underway) -> Self {
        let link = connection.link().clone();
        let (io, read, held) = connection.into_upgraded();
        Connected::new(io, read, link, Counted::Pooled { _held: held }, underway).into()
    }

    /// What is known of the connection that the answer came by.
    pub fn link(&self) -> Option<&Rc<Link>> {
        self.link.as_ref()
    }

    /// The connection, after an answer that has made it the request's own (101, or 2xx to `CONNECT`).
    pub fn into_upgraded(self) -> Option<Connected> {
        match self.kind {
            Kind::Upgraded(connected) => Some(*connected),
            _ => None,
        }
    }

    fn finish(&mut self) {
        if let Kind::Http1(connection) = std::mem::take(&mut self.kind) {
            connection.give_back();
        }
        self.underway = None;
    }
}

impl From<Connected> for ResponseBody {
    /// The body of an answer that gives a connection.
    fn from(connected: Connected) -> Self {
        Self {
            link: Some(connected.link().clone()),
            kind: Kind::Upgraded(Box::new(connected)),
            underway: None,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (frame, over) = match &mut self.kind {
            Kind::Empty | Kind::Upgraded(_) => return Poll::Ready(None),
            Kind::Http1(connection) => {
                let frame = connection.poll_frame(context);
                (frame, connection.body_is_over())
            }
            Kind::Http2(body) => {
                let frame = body.poll_frame(context);
                (frame, body.is_over())
            }
        };
        if matches!(frame, Poll::Ready(Some(Err(_)))) {
            // What is left of the exchange makes no sense to anybody.
            self.kind = Kind::Empty;
            self.underway = None;
        } else if over && frame.is_ready() {
            self.finish();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Upgraded(_))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Upgraded(_) => SizeHint::with_exact(0),
            Kind::Http1(connection) => {
                connection.body_left().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Kind::Http2(_) => SizeHint::default(),
        }
    }
}
