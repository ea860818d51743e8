//! The answer's head on its way to the client, be it the upstream's or our own.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::{
    Exchange,
    attempt::Answered,
    callers,
    head::{BadHead, headers_size, text},
    outcome::Flags,
    record::Record,
    reply::Reply,
    response::{ClientBody, grpc_status},
    tunnel,
};
use crate::{
    snapshot::{
        headers::HeaderEdits,
        http::{HttpConnectionManager, ServerHeader},
        listener::Direction,
        route::{Action, Target},
    },
    stage::{self, forwarded::REQUEST_ID, route::Routed},
};

const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// The header edits of one level of the configuration.
pub(super) struct Level<'a> {
    pub(super) request: &'a HeaderEdits,
    pub(super) response: &'a HeaderEdits,
}

/// The edits that apply to a request, in Envoy's order: most specific first, unless the table says otherwise.
pub(super) fn levels<'a>(
    routed: &'a Routed,
    target: Option<&'a Target>,
    choose: impl Fn(Level<'a>) -> &'a HeaderEdits,
) -> impl Iterator<Item = &'a HeaderEdits> {
    let (table, host, route) = (&*routed.table, &*routed.host, &*routed.route);
    let mut levels = [
        target.map(|target| Level { request: &target.request_headers, response: &target.response_headers }),
        Some(Level { request: &route.request_headers, response: &route.response_headers }),
        Some(Level { request: &host.request_headers, response: &host.response_headers }),
        Some(Level { request: &table.request_headers, response: &table.response_headers }),
    ];
    if !table.table_edits_last {
        levels.reverse();
    }
    levels.into_iter().flatten().map(choose).filter(|edits| !edits.is_empty())
}

/// Answers a request whose head could not be read.
pub(super) fn without_head(mut record: Record, bad: BadHead) -> Response<ClientBody> {
    let connection = record.connection().clone();
    record.fail(Flags::DOWNSTREAM_PROTOCOL_ERROR, bad.to_string());
    let reply = Reply::new(StatusCode::BAD_REQUEST, Flags::DOWNSTREAM_PROTOCOL_ERROR, bad.to_string());
    record.status = Some(reply.status);
    let mut response = reply.into_response(false, false);
    name_server(&connection.manager, response.headers_mut());
    response.map(|body| ClientBody::local(body, record))
}

impl Exchange {
    /// The upstream's answer.
    pub(super) fn answer(self, answered: Answered) -> Response<ClientBody> {
        let Answered { response, deadline, tunnel } = answered;
        let (mut parts, body) = response.into_parts();
        let mut this = self;
        let agreed = parts.status == StatusCode::SWITCHING_PROTOCOLS
            || (this.head.method == Method::CONNECT && parts.status.is_success());
        let switching = agreed && this.upgrade.is_some();
        let record = &mut this.record;
        record.upstream_local = body.link().map(|link| link.local);
        record.link = body.link().cloned();
        record.status = Some(parts.status);
        record.grpc_status = grpc_status(&parts.headers);
        record.details = "via_upstream".into();
        let peer = this.connection.worker.recorder.identify(&mut parts.headers);
        if this.connection.facts.direction != Direction::Inbound {
            record.peer = peer;
        }
        stage::hop::clean_response(&mut parts.headers, parts.status == StatusCode::SWITCHING_PROTOCOLS);
        this.complete(&mut parts.headers, true);
        this.close_if_due(&mut parts.headers, switching);
        if switching {
            return tunnel::start(this, parts, tunnel.or_else(|| body.into_upgraded()));
        }
        let idle = this.idle_timeout();
        let count_messages = this.grpc && this.connection.manager.filters.grpc_stats;
        let length = text(parts.headers.get(header::CONTENT_LENGTH)).parse().ok();
        let body = ClientBody::upstream(body, this.record, deadline, idle, count_messages).of_length(length);
        Response::from_parts(parts, body)
    }

    /// An answer of our own.
    pub(super) fn answer_locally(mut self, reply: Reply) -> Response<ClientBody> {
        let grpc = self.grpc;
        // What never came as far as an upstream is logged with its headers too.
        if self.record.request.as_ref().is_some_and(|facts| facts.headers.is_none()) {
            self.keep_headers();
        }
        self.record.flags.set(reply.flag);
        self.record.details.clone_from(&reply.details);
        self.record.status = Some(if grpc { StatusCode::OK } else { reply.status });
        self.record.grpc_status = grpc.then(|| reply.grpc());
        let edited = reply.edited;
        let response = reply.into_response(grpc, self.head.method == Method::HEAD);
        let (mut parts, body) = response.into_parts();
        self.complete(&mut parts.headers, edited);
        self.close_if_due(&mut parts.headers, false);
        Response::from_parts(parts, ClientBody::local(body, self.record))
    }

    /// The headers that every answer gets.
    fn complete(&mut self, headers: &mut HeaderMap, edited: bool) {
        let manager = &*self.connection.manager;
        if let Some(time) = self.record.upstream_service_time
            && !manager.filters.suppress_envoy_headers
        {
            headers.insert(SERVICE_TIME, HeaderValue::from(time.as_millis() as u64));
        }
        if let Some(routed) = &self.routed {
            if routed.host.attempt_count_in_response && self.record.attempts > 0 {
                headers.insert(ATTEMPT_COUNT, HeaderValue::from(self.record.attempts));
            }
            if edited {
                let hostname = &self.connection.worker.shared.settings.hostname;
                for edits in levels(routed, self.target.as_ref(), |level| level.response) {
                    stage::headers::edit_response(edits, headers, &self.head, &self.record, hostname);
                }
            }
        }
        if let Some((policy, origin)) = &self.cors {
            stage::cors::mark(policy, origin, headers);
        }
        for cookie in self.cookies.drain(..) {
            headers.append(header::SET_COOKIE, cookie);
        }
        if manager.request_id_in_response
            && let Some(id) = self.head.headers.get(REQUEST_ID)
        {
            headers.insert(REQUEST_ID, id.clone());
        }
        if let Some(via) = &manager.via {
            headers.append(header::VIA, via.clone());
        }
        if self.asked {
            let proxy = &self.connection.worker.shared.settings.hostname;
            let host = self.routed.as_ref().map(|routed| &*routed.host);
            headers
                .extend(callers::decision(proxy, host, &self.record).map(|value| (callers::DECISION, value)));
        }
        name_server(manager, headers);
        if manager.filters.metadata_exchange && self.connection.facts.direction == Direction::Inbound {
            let known = self.record.peer.is_some();
            self.connection.worker.recorder.introduce_to_client(known, headers);
        }
        self.record.response_head_bytes = headers_size(headers) + 20;
        if !manager.access_logs.is_empty() {
            self.record.response_headers = Some(Box::new(headers.clone()));
        }
    }

    /// A connection that is to end says so with the answers that it still gives.
    fn close_if_due(&self, headers: &mut HeaderMap, switching: bool) {
        let connection = &self.connection;
        let most = u64::from(connection.manager.max_requests_per_connection);
        let last = most > 0 && self.count >= most;
        if (last || connection.lifetime.closing()) && !connection.http2 && !switching {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// How long nothing may move.
    pub(super) fn idle_timeout(&self) -> Option<std::time::Duration> {
        let own = match self.routed.as_ref().map(|routed| &routed.route.action) {
            Some(Action::Forward(forward)) => forward.idle_timeout,
            _ => None,
        };
        own.or(self.connection.manager.stream_idle_timeout).filter(|idle| !idle.is_zero())
    }
}

fn name_server(manager: &HttpConnectionManager, headers: &mut HeaderMap) {
    match manager.server_header {
        ServerHeader::Overwrite => {
            headers.insert(header::SERVER, manager.server_name.clone());
        }
        ServerHeader::AppendIfAbsent => {
            headers.entry(header::SERVER).or_insert_with(|| manager.server_name.clone());
        }
        ServerHeader::PassThrough => {}
    }
}
