//! Route tables, and the virtual hosts that come one by one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3 as pb;
use tokio::time::Instant;
use xds::client::{Changed, DeltaClient, Rejected, Update};
use xds::names::{parse_virtual_host_resource, type_url, virtual_host_resource};

use super::{Applier, WARMING, check_name, decode, reject};
use crate::config;
use crate::snapshot::route::{Action, BadRoutes, Destination, RouteTable, VirtualHost};

/// A route table as received.
#[derive(Debug)]
pub(super) struct TableEntry {
    /// The table with all of its virtual hosts.
    pub(super) table: Arc<RouteTable>,
    /// Those that are written in it; the others came one by one.
    written: HashSet<Arc<str>>,
    by_virtual_host: bool,
    /// Virtual hosts have come.
    pub(super) filled: bool,
}

impl Applier {
    pub(super) fn routes(&mut self, update: Update, client: &mut DeltaClient, now: Instant) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        for one in &update.changed {
            if let Err(problem) = self.route(one, client, now) {
                rejected.push(problem);
            }
        }
        // A table that a listener names stays, as in Envoy; it goes when nothing names it any more.
        rejected
    }

    fn route(&mut self, changed: &Changed, client: &mut DeltaClient, now: Instant) -> Result<(), Rejected> {
        let message: pb::RouteConfiguration = decode(changed)?;
        check_name(changed, &message.name)?;
        let compiled = config::route_table(&message).map_err(|error| reject(&changed.name, error))?;
        let name: Arc<str> = message.name.as_str().into();
        let mut written: HashSet<_> = compiled.table.hosts().map(|host| host.name.clone()).collect();
        let old = self.tables.remove(&name);
        let entry = match old {
            Some(old) if compiled.by_virtual_host && old.by_virtual_host => {
                match compiled.table.with_hosts(old.arrived().cloned(), &[]) {
                    Ok(table) => {
                        for host in old.arrived() {
                            written.remove(&host.name);
                        }
                        TableEntry { table: Arc::new(table), written, ..old }
                    }
                    Err(problem) => {
                        self.tables.insert(name, old);
                        return Err(reject(&changed.name, problem));
                    }
                }
            }
            old => {
                if old.is_some_and(|old| old.by_virtual_host) {
                    client.unsubscribe(type_url::VIRTUAL_HOST, &virtual_host_resource(&name, "*"));
                }
                if compiled.by_virtual_host {
                    client.subscribe(type_url::VIRTUAL_HOST, virtual_host_resource(&name, "*"));
                }
                TableEntry {
                    table: Arc::new(compiled.table),
                    written,
                    by_virtual_host: compiled.by_virtual_host,
                    filled: !compiled.by_virtual_host,
                }
            }
        };
        self.tables.insert(name.clone(), entry);
        self.tables_due.entry(name).or_insert(now + WARMING);
        Ok(())
    }

    pub(super) fn virtual_hosts(&mut self, update: Update, now: Instant) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        let mut batches: HashMap<Arc<str>, Batch> = HashMap::new();
        for one in &update.changed {
            match virtual_host(one) {
                Ok((route, host)) => {
                    batches.entry(route.into()).or_default().changed.push((one.name.clone(), host));
                }
                Err(problem) => rejected.push(problem),
            }
        }
        for name in &update.removed {
            if let Ok((route, host)) = parse_virtual_host_resource(name) {
                batches.entry(route.into()).or_default().removed.push(host.into());
                self.held.remove(type_url::VIRTUAL_HOST, name);
            }
        }
        for (route, batch) in batches {
            if let Some(entry) = self.tables.get_mut(&route) {
                rejected.extend(entry.take(batch));
                self.tables_due.entry(route).or_insert(now + WARMING);
            }
        }
        rejected
    }

    /// Tables that no listener names go, and are not asked for any more.
    pub(super) fn drop_table(&mut self, name: &Arc<str>, client: &mut DeltaClient) {
        client.unsubscribe(type_url::ROUTE, name);
        self.held.remove(type_url::ROUTE, name);
        self.tables_due.remove(name);
        if let Some(entry) = self.tables.remove(name)
            && entry.by_virtual_host
        {
            client.unsubscribe(type_url::VIRTUAL_HOST, &virtual_host_resource(name, "*"));
            for host in entry.arrived() {
                self.held.remove(type_url::VIRTUAL_HOST, &virtual_host_resource(name, &host.name));
            }
        }
    }
}

/// What a response changes in one table.
#[derive(Default)]
struct Batch {
    changed: Vec<(String, Arc<VirtualHost>)>,
    removed: Vec<Arc<str>>,
}

impl TableEntry {
    /// The virtual hosts that came one by one.
    fn arrived(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.table.hosts().filter(|host| !self.written.contains(&host.name))
    }

    /// Takes a batch as a whole; if a host in it doesn't fit, one by one, so that only that one is refused.
    fn take(&mut self, batch: Batch) -> Vec<Rejected> {
        self.filled = true;
        let hosts: Vec<_> = batch.changed.iter().map(|(_, host)| host.clone()).collect();
        if self.replace(&hosts, &batch.removed).is_ok() {
            return Vec::new();
        }
        let mut rejected = Vec::new();
        // The removals alone can't fail, and may make room.
        let _ = self.replace(&[], &batch.removed);
        for (name, host) in batch.changed {
            if let Err(problem) = self.replace(&[host], &[]) {
                rejected.push(reject(&name, problem));
            }
        }
        rejected
    }

    fn replace(&mut self, hosts: &[Arc<VirtualHost>], removed: &[Arc<str>]) -> Result<(), BadRoutes> {
        self.table = Arc::new(self.table.with_hosts(hosts.iter().cloned(), removed)?);
        for host in hosts {
            self.written.remove(&host.name);
        }
        Ok(())
    }
}

fn virtual_host(changed: &Changed) -> Result<(&str, Arc<VirtualHost>), Rejected> {
    let (route, name) = parse_virtual_host_resource(&changed.name).map_err(|e| reject(&changed.name, e))?;
    let mut message: pb::VirtualHost = decode(changed)?;
    // Its own name may or may not repeat the route's.
    name.clone_into(&mut message.name);
    let host = config::virtual_host(&message).map_err(|error| reject(&changed.name, error))?;
    Ok((route, Arc::new(host)))
}

/// The clusters that a table sends to.
pub(super) fn clusters_of(table: &RouteTable) -> impl Iterator<Item = &Arc<str>> {
    let routes = table.hosts().flat_map(|host| host.routes());
    let forwards = routes.filter_map(|route| match &route.action {
        Action::Forward(forward) => Some(forward),
        _ => None,
    });
    forwards.flat_map(|forward| {
        let targets = match &forward.destination {
            Destination::Clusters(clusters) => Some(clusters.iter().map(|(_, target)| &target.cluster)),
            Destination::Header(_) => None,
        };
        targets.into_iter().flatten().chain(forward.mirrors.iter().map(|mirror| &mirror.cluster))
    })
}
