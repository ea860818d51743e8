//! What a client wants and holds of one resource type, and what of that the server does not know yet.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;

/// Interest in one type.
#[derive(Debug, Default)]
pub(super) struct Interest {
    all: bool,
    names: BTreeSet<String>,
    held: BTreeMap<String, String>,
    /// The server has not heard of this type on the current stream.
    fresh: bool,
    to_subscribe: BTreeSet<String>,
    to_unsubscribe: BTreeSet<String>,
}

impl Interest {
    pub(super) fn subscribe_all(&mut self) {
        if !self.all {
            self.all = true;
            self.to_subscribe.insert("*".to_owned());
        }
    }

    pub(super) fn subscribe(&mut self, name: String) {
        self.to_unsubscribe.remove(&name);
        self.to_subscribe.insert(name.clone());
        self.names.insert(name);
    }

    pub(super) fn unsubscribe(&mut self, name: &str) {
        if !self.names.remove(name) {
            return;
        }
        self.to_subscribe.remove(name);
        self.to_unsubscribe.insert(name.to_owned());
        let dropped: Vec<String> = match name.strip_suffix('*') {
            Some(prefix) => self
                .held
                .range(prefix.to_owned()..)
                .map(|(held, _)| held)
                .take_while(|held| held.starts_with(prefix))
                .cloned()
                .collect(),
            None => vec![name.to_owned()],
        };
        for held in dropped {
            if !self.wants(&held) {
                self.held.remove(&held);
            }
        }
    }

    /// Whether a resource of this name was asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.all
            || self.names.contains(name)
            || prefix_subscription(name).is_some_and(|glob| self.names.contains(&glob))
    }

    pub(super) fn restart(&mut self) {
        self.fresh = true;
        self.to_subscribe.clear();
        self.to_unsubscribe.clear();
    }

    pub(super) fn is_due(&self) -> bool {
        if self.fresh {
            return self.all || !self.names.is_empty();
        }
        !self.to_subscribe.is_empty() || !self.to_unsubscribe.is_empty()
    }

    /// The request that brings the server up to date.
    pub(super) fn request(&mut self, type_url: &str) -> DeltaDiscoveryRequest {
        let mut request = DeltaDiscoveryRequest { type_url: type_url.to_owned(), ..Default::default() };
        if std::mem::take(&mut self.fresh) {
            request.initial_resource_versions = self.held.clone().into_iter().collect();
            request.resource_names_subscribe = self.names.iter().cloned().collect();
            // Naming nothing in the first request asks for all, in the way that every server understands.
            if self.all && !self.names.is_empty() {
                request.resource_names_subscribe.push("*".to_owned());
            }
            self.to_subscribe.clear();
            self.to_unsubscribe.clear();
        } else {
            request.resource_names_subscribe = std::mem::take(&mut self.to_subscribe).into_iter().collect();
            request.resource_names_unsubscribe =
                std::mem::take(&mut self.to_unsubscribe).into_iter().collect();
        }
        request
    }

    pub(super) fn hold(&mut self, name: String, version: String) {
        if self.wants(&name) {
            self.held.insert(name, version);
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.held.remove(name);
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (&str, &str)> {
        self.held.iter().map(|(name, version)| (name.as_str(), version.as_str()))
    }
}

/// `a/b` is also wanted by who wants `a/*`.
fn prefix_subscription(name: &str) -> Option<String> {
    let (prefix, _) = name.split_once('/')?;
    Some(format!("{prefix}/*"))
}
