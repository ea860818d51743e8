//! Load balancing: consistent hashing, localities, warm-up.

use std::collections::BTreeSet;

use crds::networking::{
    ConsistentHashLb, LoadBalancerSettings, LocalityFailover, LocalityLoadBalancerSetting, SimpleLb,
};

use super::{
    findings::{At, Findings},
    http_policy::duration,
};

const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

pub(super) fn check(at: &At, settings: &LoadBalancerSettings, outlier: bool, found: &mut Findings) {
    if settings.simple == Some(SimpleLb::LeastConn) {
        found.warning(&at.field("simple"), "LEAST_CONN is the old name of LEAST_REQUEST");
    }
    if let Some(hash) = &settings.consistent_hash {
        consistent_hash(&at.field("consistentHash"), hash, found);
    }
    found.error_if(
        settings.locality_lb_setting.is_some() && settings.zone_aware_lb_setting.is_some(),
        at,
        "localityLbSetting and zoneAwareLbSetting exclude each other",
    );
    if let Some(localities) = &settings.locality_lb_setting {
        locality(&at.field("localityLbSetting"), localities, outlier, found);
    }
    if let Some(zones) = &settings.zone_aware_lb_setting {
        let at = at.field("zoneAwareLbSetting");
        for (index, label) in zones.failover_priority.iter().enumerate() {
            found.error_if(
                TOPOLOGY.contains(&label.as_str()),
                &at.item("failoverPriority", index),
                "regions and zones are handled already; remove this label",
            );
        }
        failover(&at, &zones.failover, zones.failover_priority.is_empty(), outlier, found);
    }
    if settings.warmup_duration_secs.is_some() {
        found.warning(&at.field("warmupDurationSecs"), "is deprecated; use warmup.duration");
        duration(&at.field("warmupDurationSecs"), settings.warmup_duration_secs, found);
    }
    if let Some(warmup) = &settings.warmup {
        let at = at.field("warmup");
        duration(&at.field("duration"), Some(warmup.duration), found);
        found.error_if(
            warmup.aggression.is_some_and(|a| a <= 0.0),
            &at.field("aggression"),
            "must be greater than 0",
        );
        let most = warmup.minimum_percent.is_some_and(|percent| percent > 100.0);
        found.error_if(most, &at.field("minimumPercent"), "must be at most 100");
    }
}

fn consistent_hash(at: &At, hash: &ConsistentHashLb, found: &mut Findings) {
    if let Some(cookie) = &hash.http_cookie {
        let at = at.field("httpCookie");
        found.error_if(cookie.name.is_empty(), &at.field("name"), "is needed");
        let mut seen = BTreeSet::new();
        for (index, attribute) in cookie.attributes.iter().enumerate() {
            let at = at.item("attributes", index).field("name");
            found.error_if(attribute.name.is_empty(), &at, "is needed");
            found.error_if(!seen.insert(&attribute.name), &at, "another attribute has the same name");
        }
    }
    if hash.minimum_ring_size.is_some_and(|size| size != 0) {
        let at = at.field("minimumRingSize");
        found.warning(&at, "is deprecated; use ringHash.minimumRingSize");
        found.error_if(
            hash.ring_hash.is_some() || hash.maglev.is_some(),
            &at,
            "excludes ringHash and maglev",
        );
    }
    if let Some(maglev) = &hash.maglev {
        let size = maglev.table_size.unwrap_or_default();
        if size >= 5_000_011 || !is_prime(size) {
            found.error(
                &at.field("maglev.tableSize"),
                format!("{size} is not a prime below 5000011, such as 65537"),
            );
        }
    }
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..=number.isqrt()).all(|factor| !number.is_multiple_of(factor))
}

fn locality(at: &At, setting: &LocalityLoadBalancerSetting, outlier: bool, found: &mut Findings) {
    if !setting.distribute.is_empty() && !setting.failover.is_empty() {
        return found.error(at, "distribute and failover exclude each other");
    }
    let topology = setting.failover_priority.iter().find(|label| TOPOLOGY.contains(&label.as_str()));
    if let Some(label) = topology.filter(|_| !setting.failover.is_empty()) {
        found.error(&at.field("failoverPriority"), format!("{label:?} and failover exclude each other"));
    }
    let mut sources = Vec::new();
    for (index, shares) in setting.distribute.iter().enumerate() {
        let at = at.item("distribute", index);
        let from = shares.from.as_deref().unwrap_or_default();
        found.check(&at.field("from"), one_locality(from, &sources));
        sources.push(from);
        let mut targets: Vec<&str> = Vec::new();
        for (to, share) in &shares.to {
            let at = at.key("to", to);
            found.error_if(!(1..=100).contains(share), &at, "a share is between 1 and 100");
            found.check(&at, one_locality(to, &targets));
            targets.push(to);
        }
        let total: u64 = shares.to.values().map(|share| u64::from(*share)).sum();
        if total != 100 {
            found.error(&at.field("to"), format!("the shares sum up to {total}, not 100"));
        }
    }
    failover(at, &setting.failover, setting.failover_priority.is_empty(), outlier, found);
}

/// A locality that doesn't overlap with those before it.
fn one_locality(text: &str, before: &[&str]) -> Result<(), String> {
    if text.split('/').any(str::is_empty) || text.split('/').count() > 3 {
        return Err(format!("{text:?} is not of the form region/zone/subzone"));
    }
    if text.strip_suffix('*').unwrap_or(text).contains('*') {
        return Err(format!("{text:?} can have one *, at its end"));
    }
    let stem = |text: &str| text.trim_end_matches('*').trim_end_matches('/').to_owned();
    let within = |inner: &str, outer: &str| {
        outer.is_empty()
            || inner == outer
            || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    let overlap = before.iter().find(|other| {
        let (this, other) = (stem(text), stem(other));
        within(&this, &other) || within(&other, &this)
    });
    overlap.map_or(Ok(()), |other| Err(format!("{text:?} overlaps with {other:?}")))
}

fn failover(at: &At, regions: &[LocalityFailover], no_priority: bool, outlier: bool, found: &mut Findings) {
    if (!regions.is_empty() || !no_priority) && !outlier {
        found.warning(at, "failover acts only with outlierDetection, which finds out what fails");
    }
    for (index, step) in regions.iter().enumerate() {
        let at = at.item("failover", index);
        found.error_if(step.from == step.to, &at, "from and to must be different regions");
        let text =
            format!("{}{}", step.from.as_deref().unwrap_or_default(), step.to.as_deref().unwrap_or_default());
        found.error_if(text.contains(['/', '*']), &at, "from and to are names of regions, without zone or *");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localities_may_not_overlap() {
        for (text, before, ok) in [
            ("a/b/*", &["a/c/*"][..], true),
            ("a/b", &["a/*"], false),
            ("a/*", &["a/b/c"], false),
            ("*", &["a"], false),
            ("ab", &["a"], true),
            ("a//b", &[], false),
            ("a/*/b", &[], false),
        ] {
            assert_eq!(one_locality(text, before).is_ok(), ok, "{text} after {before:?}");
        }
    }
}
