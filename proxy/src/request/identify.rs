//! Finds out what a request asks for and who asks, and says so in the headers that upstreams rely on.

use http::{HeaderValue, Method, StatusCode, header, uri::Scheme};

use super::{
    Exchange,
    head::{Head, text},
    outcome::Flags,
    reply::Reply,
};
use crate::{
    snapshot::{listener::Direction, route::without_port},
    stage::{self, forwarded, normalise::Normalised},
};

impl Exchange {
    /// The protocol that the client wants to change to, in lower case. Headers that belong to the connection end here.
    pub(super) fn wanted_upgrade(&mut self) -> Option<Box<str>> {
        let head = &mut self.head;
        let wanted = match (&head.connect_protocol, &head.method) {
            (Some(protocol), _) => Some(protocol.as_str().to_ascii_lowercase()),
            (None, &Method::CONNECT) => Some("connect".to_owned()),
            (None, _) => head.upgrade().map(str::to_ascii_lowercase),
        };
        // Clients offer `h2c` to everybody and go on without it.
        let wanted = wanted.filter(|protocol| protocol != "h2c");
        stage::hop::clean_request(&mut head.headers, wanted.is_some() && head.method != Method::CONNECT);
        wanted.map(Into::into)
    }

    /// Finds out who asks for what, and says so in the headers that upstreams rely on.
    pub(super) fn identify(&mut self) -> Result<(), Box<Reply>> {
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
        if let Some(callers) = &connection.worker.shared.settings.debug_callers {
            self.asked = callers.heed(&mut self.head.headers, &connection.facts);
        }
        self.simplify_authority();
        let Head { headers, scheme, .. } = &mut self.head;
        // What carries a request to the edge is what it came by; HTTP/2 between proxies keeps the scheme that it had.
        let carried = if connection.facts.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let told = if manager.use_remote_address { &carried } else { &*scheme };
        self.record.client = forwarded::identify(manager, headers, connection.facts.remote, told);
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
        // Nobody but the client's own proxy says who the client is.
        let peer = connection.worker.recorder.identify(headers);
        if connection.facts.direction == Direction::Inbound {
            self.record.peer = peer;
        }
        Ok(())
    }

    pub(super) fn simplify_authority(&mut self) {
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
}
