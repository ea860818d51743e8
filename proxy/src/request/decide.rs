//! Decides what becomes of a request: its route, an answer of the route's own, the cluster, a fault.

use std::sync::Arc;

use http::{StatusCode, header, uri::Scheme};

use super::{Exchange, head::text, outcome::Flags, reply::Reply};
use crate::{
    snapshot::{
        Cluster,
        route::{Abort, Action, Destination, Forward, RequireTls},
    },
    stage::{self, cors::Verdict, forwarded, route::Routed},
};

impl Exchange {
    /// Finds the route.
    pub(super) fn route(&mut self) -> Result<Routed, Box<Reply>> {
        let worker = &self.connection.worker;
        let table = stage::route::table(&self.connection.manager.routes, &self.snapshot);
        let table = table.ok_or_else(Reply::no_route)?;
        // A host that insists on TLS needs no routes to say so.
        let host = stage::route::host(table, &self.head.view());
        if host.is_some_and(|host| host.require_tls != RequireTls::No) && self.head.scheme != Scheme::HTTPS {
            return Err(Reply::new(StatusCode::MOVED_PERMANENTLY, Flags::NONE, "direct_response")
                .header(header::LOCATION, stage::redirect::to_https(&self.head)));
        }
        let routed = stage::route::find(table, &self.head.view(), &mut || worker.random());
        let routed = routed.ok_or_else(Reply::no_route)?;
        self.record.route = Some(routed.route.clone());
        if let Some(limit) = routed.host.buffer_limit {
            self.source.keep_up_to(u64::from(limit));
        }
        self.routed = Some(routed.clone());
        Ok(routed)
    }

    /// Refuses a change of protocol that neither the route nor the listener allows.
    pub(super) fn check_upgrade(
        &mut self,
        wanted: Option<Box<str>>,
        forward: &Forward,
    ) -> Result<(), Box<Reply>> {
        let Some(wanted) = wanted else {
            self.upgrade = None;
            return Ok(());
        };
        let of_route = forward.upgrades.iter().find(|(protocol, _)| *protocol == wanted);
        let allowed =
            of_route.map_or_else(|| self.connection.manager.allows_upgrade(&wanted), |(_, allowed)| *allowed);
        if allowed {
            return Ok(());
        }
        Err(Reply::new(StatusCode::FORBIDDEN, Flags::NONE, "upgrade_failed"))
    }

    /// Answers CORS preflights, and remembers the origins whose answers are to be marked.
    pub(super) fn answer_preflight(&mut self, routed: &Routed) -> Result<(), Box<Reply>> {
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
    pub(super) fn answer_of_route(&self, routed: &Routed) -> Box<Reply> {
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

    /// Picks one of the route's clusters by weight. It is noted even if the request gets no further.
    pub(super) fn choose_target(&mut self, forward: &Forward) -> Result<Arc<str>, Box<Reply>> {
        let name: Arc<str> = match &forward.destination {
            Destination::Clusters(clusters) => {
                let target = clusters.pick(|| self.connection.worker.random());
                self.target = Some(target.clone());
                target.cluster.clone()
            }
            Destination::Header(name) => match self.head.header(name) {
                "" => return Err(Reply::no_cluster(forward.not_found_status)),
                cluster => cluster.into(),
            },
        };
        self.record.cluster = self.snapshot.cluster(&name).cloned();
        Ok(name)
    }

    pub(super) fn cluster(&self, forward: &Forward) -> Result<Arc<Cluster>, Box<Reply>> {
        self.record.cluster.clone().ok_or_else(|| Reply::no_cluster(forward.not_found_status))
    }

    /// Delays or aborts the request on purpose.
    pub(super) async fn inject_fault(&mut self, routed: &Routed, cluster: &str) -> Result<(), Box<Reply>> {
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
}
