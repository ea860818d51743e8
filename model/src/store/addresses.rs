//! Addresses for the hosts of ServiceEntries that have none, so that connections to one can be told from connections to
//! another: out of the ranges that Istio's allocator uses.
//!
//! What the status of an object has is kept. A host without gets the first free address from a place that its name
//! decides, so that all replicas of a control plane come to the same before one of them has written it down.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::{HostAddress, ServiceEntry};
use crate::value::{NamespacedName, Text, is_single, is_wildcard};

/// 240.240.0.0/16
const V4: u32 = 0xf0f0_0000;
/// 2001:2::/48
const V6: u128 = 0x2001_0002 << 96;
/// Places in the ranges, but for the first and the last, which mean something else in IPv4.
const PLACES: u32 = 0xfffe;

/// Who has an address, the strongest claim first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// A user wrote it.
    Written(NamespacedName),
    /// A status has it; the older object keeps it.
    Stored(i64, NamespacedName),
    /// Nobody has written it down yet.
    New(i64, NamespacedName),
}

impl Claim {
    fn owner(&self) -> &NamespacedName {
        match self {
            Self::Written(owner) | Self::Stored(_, owner) | Self::New(_, owner) => owner,
        }
    }
}

/// The addresses that are taken.
#[derive(Debug, Default)]
pub(super) struct AddressBook {
    taken: HashMap<IpAddr, Claim>,
    of: HashMap<NamespacedName, Vec<IpAddr>>,
}

impl AddressBook {
    /// Frees what an entry had, and gives its new version addresses. Returns the entries that must look for others.
    pub(super) fn take(
        &mut self,
        name: &NamespacedName,
        entry: Option<&mut ServiceEntry>,
    ) -> Vec<NamespacedName> {
        self.free(name);
        let Some(entry) = entry else { return Vec::new() };
        let mut displaced = Vec::new();
        let written = entry.services.iter().flat_map(|service| &service.addresses);
        for address in written.filter(|net| is_single(net)).map(IpNet::addr) {
            if is_ours(address) {
                self.claim(address, Claim::Written(name.clone()), &mut displaced);
            }
        }
        entry.assigned.clear();
        for service in &mut entry.services {
            service.assigned.clear();
            let host = &service.key.host;
            if !entry.wants_addresses || is_wildcard(host) {
                continue;
            }
            let stored = entry.stored.iter().filter(|item| item.host == *host).map(|item| item.address);
            let (addresses, claim) = self.decide(name, entry.meta.created, host, stored.collect());
            for address in &addresses {
                self.claim(*address, claim.clone(), &mut displaced);
            }
            let given = addresses.iter().map(|address| HostAddress { host: host.clone(), address: *address });
            entry.assigned.extend(given);
            service.assigned = addresses.into_iter().map(IpNet::from).collect();
        }
        displaced
    }

    /// Frees what an entry had.
    fn free(&mut self, name: &NamespacedName) {
        for address in self.of.remove(name).unwrap_or_default() {
            if self.taken.get(&address).is_some_and(|claim| claim.owner() == name) {
                self.taken.remove(&address);
            }
        }
    }

    /// The addresses of a host, and by what right: those of the status, unless somebody else has a better one to them.
    fn decide(
        &self,
        name: &NamespacedName,
        created: i64,
        host: &Text,
        stored: Vec<IpAddr>,
    ) -> (Vec<IpAddr>, Claim) {
        let claim = Claim::Stored(created, name.clone());
        if !stored.is_empty() && stored.iter().all(|address| self.is_free(*address, &claim)) {
            return (stored, claim);
        }
        (self.free_place(name, host).unwrap_or_default(), Claim::New(created, name.clone()))
    }

    fn is_free(&self, address: IpAddr, claim: &Claim) -> bool {
        self.taken.get(&address).is_none_or(|known| known.owner() == claim.owner() || known > claim)
    }

    fn claim(&mut self, address: IpAddr, claim: Claim, displaced: &mut Vec<NamespacedName>) {
        if !self.is_free(address, &claim) {
            return;
        }
        self.of.entry(claim.owner().clone()).or_default().push(address);
        let owner = claim.owner().clone();
        if let Some(before) = self.taken.insert(address, claim)
            && *before.owner() != owner
            && !displaced.contains(before.owner())
        {
            displaced.push(before.owner().clone());
        }
    }

    /// An IPv4 and an IPv6 address for a host. None if the range is full.
    fn free_place(&self, name: &NamespacedName, host: &Text) -> Option<Vec<IpAddr>> {
        let mut hasher = DefaultHasher::new();
        (name, host).hash(&mut hasher);
        let start = (hasher.finish() % u64::from(PLACES)) as u32;
        (0..PLACES).map(|step| (start + step) % PLACES + 1).find_map(|place| {
            let both = [
                IpAddr::V4(Ipv4Addr::from_bits(V4 + place)),
                IpAddr::V6(Ipv6Addr::from_bits(V6 + u128::from(place))),
            ];
            both.iter().all(|address| !self.taken.contains_key(address)).then(|| both.to_vec())
        })
    }
}

fn is_ours(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.to_bits() >> 16 == V4 >> 16,
        IpAddr::V6(address) => address.to_bits() >> 80 == V6 >> 80,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::store::Store;
    use crate::{Event, Key, Kind, Object};

    /// A ServiceEntry of this age, with what its status has, or addresses of its own.
    fn entry(name: &str, created: &str, status: serde_json::Value, spec: serde_json::Value) -> Event {
        let mut object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
            "spec": {"hosts": [format!("{name}.example.com")], "resolution": "DNS",
                     "ports": [{"number": 5432, "name": "tcp", "protocol": "TCP"}]},
            "status": status,
        });
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        Object::from_json(object).unwrap().unwrap().into()
    }

    fn addresses(store: &Store, name: &str) -> Vec<String> {
        let mesh = store.mesh();
        let entry = &mesh.written.service_entries[&crate::NamespacedName::new("shop", name)];
        let assigned: Vec<_> = entry.assigned.iter().map(|item| item.address.to_string()).collect();
        let services = entry.services.iter().flat_map(|service| &service.assigned);
        assert!(services.map(|net| net.addr().to_string()).eq(assigned.iter().cloned()));
        assigned
    }

    fn stored(host: &str, address: &str) -> serde_json::Value {
        json!({"addresses": [{"host": format!("{host}.example.com"), "value": address}]})
    }

    const OLD: &str = "2026-01-01T00:00:00Z";
    const YOUNG: &str = "2026-02-01T00:00:00Z";

    #[test]
    fn hosts_without_addresses_get_two_and_keep_them() {
        let mut store = Store::new("cluster.local", "c");
        store.apply(entry("db", OLD, json!({}), json!({})));
        let first = addresses(&store, "db");
        assert_eq!(first.len(), 2, "{first:?}");
        assert!(first[0].starts_with("240.240.") && first[1].starts_with("2001:2::"), "{first:?}");
        let mut other = Store::new("cluster.local", "c");
        other.apply(entry("cache", OLD, json!({}), json!({})));
        other.apply(entry("db", OLD, json!({}), json!({})));
        assert_eq!(addresses(&other, "db"), first, "replicas agree");
        store.apply(entry("db", OLD, stored("db", "240.240.0.7"), json!({})));
        assert_eq!(addresses(&store, "db"), ["240.240.0.7"]);
        assert!(store.mesh().services_at.contains_key(&"240.240.0.7/32".parse::<ipnet::IpNet>().unwrap()));
        store.apply(Event::Deleted(Key::new(Kind::ServiceEntry, "shop", "db")));
        assert!(store.mesh().services_at.is_empty());
    }

    #[test]
    fn who_has_or_wants_none_gets_none() {
        let mut store = Store::new("cluster.local", "c");
        for spec in [
            json!({"addresses": ["192.0.2.1"]}),
            json!({"resolution": "NONE"}),
            json!({"hosts": ["*.example.com"], "resolution": "STATIC"}),
        ] {
            store.apply(entry("db", OLD, stored("db", "240.240.0.7"), spec.clone()));
            assert!(addresses(&store, "db").is_empty(), "{spec}");
        }
        let mut declined = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "db", "namespace": "shop", "labels": {"networking.istio.io/enable-autoallocate-ip": "False"}},
            "spec": {"hosts": ["db.example.com"], "resolution": "DNS", "ports": [{"number": 1, "name": "tcp"}]},
        });
        store.apply(Object::from_json(declined.clone()).unwrap().unwrap().into());
        assert!(addresses(&store, "db").is_empty());
        declined["metadata"]["labels"] = json!({});
        store.apply(Object::from_json(declined).unwrap().unwrap().into());
        assert_eq!(addresses(&store, "db").len(), 2);
    }

    #[test]
    fn of_two_with_one_address_the_older_keeps_it_and_a_user_s_word_counts_most() {
        let mut store = Store::new("cluster.local", "c");
        store.apply(entry("young", YOUNG, stored("young", "240.240.0.7"), json!({})));
        store.apply(entry("old", OLD, stored("old", "240.240.0.7"), json!({})));
        assert_eq!(addresses(&store, "old"), ["240.240.0.7"]);
        let second = addresses(&store, "young");
        assert!(second.len() == 2 && second[0] != "240.240.0.7", "{second:?}");
        store.apply(entry("user", YOUNG, json!({}), json!({"addresses": ["240.240.0.7"]})));
        assert!(addresses(&store, "user").is_empty());
        assert!(!addresses(&store, "old").contains(&"240.240.0.7".to_owned()));
        let at = &store.mesh().services_at[&"240.240.0.7/32".parse::<ipnet::IpNet>().unwrap()];
        assert_eq!(at.iter().map(|key| &*key.host).collect::<Vec<_>>(), ["user.example.com"]);
    }
}
