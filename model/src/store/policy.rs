//! DestinationRules, PeerAuthentications and Secrets.

use std::sync::Arc;

use super::Store;
use super::index::{find_in, recount, replace, replace_in};
use crate::changes::{Change, Changes};
use crate::config::{DestinationRule, MergedRule, PeerAuthentication};
use crate::kube::Secret;
use crate::value::{Labels, NamespacedName, Text};

fn keys(labels: &Labels) -> Vec<Text> {
    labels.iter().map(|(key, _)| key.clone()).collect()
}

impl Store {
    pub(super) fn set_destination_rule(
        &mut self,
        name: &NamespacedName,
        new: Option<DestinationRule>,
        changes: &mut Changes,
    ) {
        let written = &mut Arc::make_mut(&mut self.mesh).written;
        let Some(change) = replace(&mut written.destination_rules, name, new.map(Arc::new)) else { return };
        let place = |rule: &DestinationRule| (name.namespace.clone(), rule.host.clone());
        if let Some(old) = &change.old {
            replace_in(&mut written.rules_of, &place(old), name, None);
        }
        if let Some(new) = &change.new {
            replace_in(&mut written.rules_of, &place(new), name, Some(new));
        }
        for rule in change.both() {
            self.merge_rules(&name.namespace, &rule.host);
        }
        let old_keys = change.old.as_ref().map_or_else(Vec::new, |rule| rule.label_keys());
        let new_keys = change.new.as_ref().map_or_else(Vec::new, |rule| rule.label_keys());
        let mesh = Arc::make_mut(&mut self.mesh);
        changes.selector_keys |= recount(&mut mesh.sidecar_label_keys, &old_keys, &new_keys);
        changes.merge(Changes { destination_rules: [(name.clone(), change)].into(), ..Changes::default() });
    }

    fn merge_rules(&mut self, namespace: &Text, host: &Text) {
        let mesh = Arc::make_mut(&mut self.mesh);
        let written = mesh.written.rules_of.get(&(namespace.clone(), host.clone()));
        let merged = written.map_or_else(Vec::new, |rules| MergedRule::merge(rules));
        let hosts = mesh.destination_rules.entry(namespace.clone()).or_default();
        if merged.is_empty() {
            hosts.remove(host);
            if hosts.is_empty() {
                mesh.destination_rules.remove(namespace);
            }
        } else {
            hosts.insert(host.clone(), merged.into_iter().map(Arc::new).collect());
        }
    }

    pub(super) fn set_peer_authentication(
        &mut self,
        name: &NamespacedName,
        new: Option<PeerAuthentication>,
        changes: &mut Changes,
    ) {
        let mesh = Arc::make_mut(&mut self.mesh);
        let old = find_in(&mesh.peer_authentications, &name.namespace, name);
        if old.as_deref() == new.as_ref() {
            return;
        }
        let new = new.map(Arc::new);
        replace_in(&mut mesh.peer_authentications, &name.namespace, name, new.as_ref());
        let old_keys = old.as_ref().map_or_else(Vec::new, |policy| keys(&policy.selector));
        let new_keys = new.as_ref().map_or_else(Vec::new, |policy| keys(&policy.selector));
        changes.selector_keys |= recount(&mut mesh.sidecar_label_keys, &old_keys, &new_keys);
        changes.merge(Changes {
            peer_authentications: [(name.clone(), Change { old, new })].into(),
            ..Changes::default()
        });
    }

    pub(super) fn set_secret(&mut self, secret: Secret, changes: &mut Changes) {
        let name = secret.name.clone();
        if !secret.is_usable() {
            return self.remove_secret(&name, changes);
        }
        let mesh = Arc::make_mut(&mut self.mesh);
        if replace(&mut mesh.secrets, &name, Some(Arc::new(secret))).is_some() {
            changes.secrets.insert(name);
        }
    }

    pub(super) fn remove_secret(&mut self, name: &NamespacedName, changes: &mut Changes) {
        if Arc::make_mut(&mut self.mesh).secrets.remove(name).is_some() {
            changes.secrets.insert(name.clone());
        }
    }
}
