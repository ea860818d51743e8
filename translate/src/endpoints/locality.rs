//! Which endpoints a client prefers by where they are.

use std::collections::BTreeMap;

use crds::networking::LocalityLoadBalancerSetting;
use model::Labels;

use super::Item;
use crate::context::Context;
use crate::memo::Inputs;
use crate::policy::Policy;

/// Endpoints of one place, with the share and the turn they get.
pub(super) struct Group<'a> {
    pub(super) locality: &'a model::Locality,
    pub(super) items: Vec<Item<'a>>,
    pub(super) weight: u32,
    pub(super) priority: u32,
}

impl<'a> Group<'a> {
    pub(super) fn new(locality: &'a model::Locality, items: Vec<Item<'a>>) -> Self {
        let weight = items.iter().fold(0_u32, |sum, item| sum.saturating_add(item.weight));
        Self { locality, items, weight, priority: 0 }
    }
}

/// The effective locality settings of a destination for a client.
#[derive(Clone, Copy)]
pub(crate) struct Locality<'a> {
    /// Settings that distribute or fail over; none if locality has no effect.
    setting: Option<&'a LocalityLoadBalancerSetting>,
    failover: bool,
    client: &'a model::Locality,
    labels: &'a Labels,
}

impl<'a> Locality<'a> {
    /// The rule's settings replace the mesh's. Failover needs outlier detection: without it, nothing would ever
    /// be taken for failed.
    pub(crate) fn new(context: &Context<'a>, policy: &Policy<'a>) -> Self {
        static DEFAULT: LocalityLoadBalancerSetting = LocalityLoadBalancerSetting {
            distribute: Vec::new(),
            failover: Vec::new(),
            failover_priority: Vec::new(),
            enabled: None,
        };
        let own = policy.load_balancer.and_then(|settings| settings.locality_lb_setting.as_ref());
        let mesh = context.mesh.settings.config.locality_lb_setting.as_ref();
        let setting = own.or(mesh).unwrap_or(&DEFAULT);
        let failover = policy.outlier.is_some();
        let applies = setting.enabled != Some(false) && (failover || !setting.distribute.is_empty());
        Self {
            setting: applies.then_some(setting),
            failover,
            client: &context.view.locality,
            labels: &context.view.labels,
        }
    }

    /// Whether locality has any effect.
    pub(crate) fn applies(&self) -> bool {
        self.setting.is_some()
    }

    /// Whether the load balancer must heed the weights of localities.
    pub(crate) fn is_weighted(&self) -> bool {
        self.setting.is_some_and(|setting| {
            !setting.distribute.is_empty()
                || (self.failover && !(setting.failover.is_empty() && setting.failover_priority.is_empty()))
        })
    }

    /// What of the client a resource depends on by this.
    pub(crate) fn add_to(&self, inputs: &mut Inputs) {
        let Some(setting) = self.setting else { return };
        inputs.word(u64::from(self.failover));
        inputs.text(&self.client.region).text(&self.client.zone).text(&self.client.subzone);
        if !setting.failover_priority.is_empty() {
            for (key, value) in self.labels.iter() {
                inputs.text(key).text(value);
            }
        }
    }

    /// Gives each group its weight and priority, and drops those that get nothing.
    pub(super) fn arrange<'b>(&self, mut groups: Vec<Group<'b>>) -> Vec<Group<'b>> {
        let Some(setting) = self.setting else { return groups };
        if !setting.distribute.is_empty() {
            distribute(self.client, setting, &mut groups);
        } else if self.failover {
            if !setting.failover_priority.is_empty() {
                groups = self.by_labels(setting, groups);
            }
            if setting.failover_priority.is_empty() || !setting.failover.is_empty() {
                fail_over(self.client, setting, &mut groups);
            }
            compact(&mut groups);
        }
        groups
    }

    /// Splits groups by how many labels of the list, from its start, an endpoint shares with the client.
    fn by_labels<'b>(&self, setting: &LocalityLoadBalancerSetting, groups: Vec<Group<'b>>) -> Vec<Group<'b>> {
        let mut split = Vec::new();
        for group in groups {
            let mut by_priority: BTreeMap<u32, Vec<Item<'b>>> = BTreeMap::new();
            for item in group.items {
                by_priority.entry(self.distance(setting, &item)).or_default().push(item);
            }
            split.extend(
                by_priority
                    .into_iter()
                    .map(|(priority, items)| Group { priority, ..Group::new(group.locality, items) }),
            );
        }
        split
    }

    fn distance(&self, setting: &LocalityLoadBalancerSetting, item: &Item<'_>) -> u32 {
        let shared = setting.failover_priority.iter().take_while(|wanted| {
            let (key, fixed) = wanted.split_once('=').map_or((wanted.as_str(), None), |(k, v)| (k, Some(v)));
            let own =
                fixed.or_else(|| of_place(self.client, key).or_else(|| self.labels.get(key).map(|v| &**v)));
            let theirs = of_place(item.locality, key).or_else(|| {
                let workload = item.workload?;
                match key {
                    "kubernetes.io/hostname" => Some(&*workload.node),
                    _ => workload.labels.get(key).map(|value| &**value),
                }
            });
            own == theirs
        });
        (setting.failover_priority.len() - shared.count()) as u32
    }
}

fn of_place<'a>(locality: &'a model::Locality, key: &str) -> Option<&'a str> {
    match key {
        "topology.kubernetes.io/region" => Some(&locality.region),
        "topology.kubernetes.io/zone" => Some(&locality.zone),
        "topology.istio.io/subzone" => Some(&locality.subzone),
        _ => None,
    }
}

/// Shares as written for clients from here; what gets no share gets no traffic.
fn distribute(client: &model::Locality, setting: &LocalityLoadBalancerSetting, groups: &mut Vec<Group<'_>>) {
    let rule = setting.distribute.iter().find(|rule| covers(rule.from.as_deref().unwrap_or("*"), client));
    let Some(rule) = rule else { return };
    let mut assigned = vec![false; groups.len()];
    for (to, share) in &rule.to {
        let members: Vec<usize> =
            (0..groups.len()).filter(|at| !assigned[*at] && covers(to, groups[*at].locality)).collect();
        let total: u64 = members.iter().map(|at| u64::from(groups[*at].weight)).sum();
        for at in members {
            assigned[at] = true;
            let weight = (u64::from(groups[at].weight) * u64::from(*share)).div_ceil(total.max(1));
            groups[at].weight = weight.try_into().unwrap_or(u32::MAX);
        }
    }
    let mut assigned = assigned.into_iter();
    groups.retain(|group| assigned.next().unwrap_or_default() && group.weight > 0);
}

/// The nearer the earlier: same subzone, zone, region, the region to fail over to, the rest.
fn fail_over(client: &model::Locality, setting: &LocalityLoadBalancerSetting, groups: &mut [Group<'_>]) {
    let to = setting.failover.iter().find(|rule| rule.from.as_deref() == Some(&*client.region));
    for group in groups {
        let place = group.locality;
        let distance = if place.region != client.region {
            let preferred = to.and_then(|rule| rule.to.as_deref());
            if preferred.is_none_or(|region| *region == *place.region) { 3 } else { 4 }
        } else if place.zone != client.zone {
            2
        } else {
            u32::from(place.subzone != client.subzone)
        };
        group.priority = group.priority * 5 + distance;
    }
}

/// Envoy wants priorities without gaps.
fn compact(groups: &mut [Group<'_>]) {
    let mut used: Vec<u32> = groups.iter().map(|group| group.priority).collect();
    used.sort_unstable();
    used.dedup();
    for group in groups {
        group.priority = used.binary_search(&group.priority).unwrap_or_default() as u32;
    }
}

/// Whether `region/zone/*` and the like covers a place.
fn covers(pattern: &str, place: &model::Locality) -> bool {
    let parts = [&*place.region, &*place.zone, &*place.subzone];
    pattern.split('/').zip(parts).all(|(wanted, actual)| wanted == "*" || wanted == actual)
}
