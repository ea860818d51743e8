//! Listeners.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3 as pb;
use tokio::time::Instant;
use xds::client::{Changed, DeltaClient, Rejected, Update};
use xds::names::type_url;

use super::routes::clusters_of;
use super::{Applier, WARMING, check_name, decode, reject};
use crate::config::{self, CompiledListener};
use crate::snapshot::http::RouteSource;
use crate::snapshot::listener::{Listener, Network};

impl Applier {
    pub(super) fn listeners(
        &mut self,
        update: Update,
        client: &mut DeltaClient,
        now: Instant,
    ) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        for one in &update.changed {
            match compile(one) {
                Ok(compiled) => {
                    let name = compiled.listener.name.clone();
                    self.listeners.insert(name.clone(), compiled);
                    self.listeners_due.entry(name).or_insert(now + WARMING);
                }
                Err(problem) => rejected.push(problem),
            }
        }
        let mut closed = false;
        for name in &update.removed {
            self.listeners.remove(name.as_str());
            self.listeners_due.remove(name.as_str());
            self.held.remove(type_url::LISTENER, name);
            closed |= self.published.remove(name.as_str()).is_some();
        }
        if closed {
            self.publish_listeners();
        }
        self.want_routes(client);
        self.want_secrets(client, now);
        rejected
    }

    /// Asks for the route tables that listeners name, and lets go of those that none names.
    pub(super) fn want_routes(&mut self, client: &mut DeltaClient) {
        let in_force = self.published.values().flat_map(|listener| route_names(listener));
        let wanted: BTreeSet<Arc<str>> =
            self.listeners.values().flat_map(|one| one.routes.iter().cloned()).chain(in_force).collect();
        for name in wanted.difference(&self.wanted_routes) {
            client.subscribe(type_url::ROUTE, name.to_string());
        }
        let gone: Vec<Arc<str>> = self.wanted_routes.difference(&wanted).cloned().collect();
        self.wanted_routes = wanted;
        if gone.is_empty() {
            return;
        }
        for name in &gone {
            self.drop_table(name, client);
        }
        self.live.update(|snapshot| snapshot.with_routes([], &gone));
    }

    /// Whether everything that a listener names is there.
    pub(super) fn listener_is_ready(&self, compiled: &CompiledListener) -> bool {
        let snapshot = self.live.load();
        compiled.routes.iter().all(|name| snapshot.route_table(name).is_some())
            && compiled.secrets.iter().all(|name| self.secret_is_there(name))
            && !(self.has_awaited()
                && clusters_of_listener(&compiled.listener).iter().any(|name| self.is_awaited(name)))
    }
}

fn compile(changed: &Changed) -> Result<CompiledListener, Rejected> {
    let message: pb::Listener = decode(changed)?;
    check_name(changed, &message.name)?;
    config::listener(&message).map_err(|error| reject(&changed.name, error))
}

fn route_names(listener: &Listener) -> impl Iterator<Item = Arc<str>> {
    listener.chains.iter().filter_map(|chain| match &chain.network {
        Network::Http(manager) => match &manager.routes {
            RouteSource::Named(name) => Some(name.clone()),
            RouteSource::Inline(_) => None,
        },
        Network::Tcp(_) => None,
    })
}

/// The clusters that a listener itself names: of TCP proxies and of routes that are written in it.
fn clusters_of_listener(listener: &Listener) -> BTreeSet<Arc<str>> {
    let mut all = BTreeSet::new();
    for chain in listener.chains.iter() {
        match &chain.network {
            Network::Tcp(proxy) => all.extend(proxy.clusters.iter().map(|(_, name)| name.clone())),
            Network::Http(manager) => {
                if let RouteSource::Inline(table) = &manager.routes {
                    all.extend(clusters_of(table).cloned());
                }
            }
        }
    }
    all
}
