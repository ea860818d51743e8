//! The names that the control plane told us, and which of them a question means.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::RwLock;

/// Addresses by name.
type Table = HashMap<Box<str>, Arc<[IpAddr]>>;

/// Names of the mesh with their addresses.
#[derive(Debug)]
pub struct Names {
    /// None until the control plane has said what there is.
    known: RwLock<Option<Table>>,
    /// What short names are completed with: `shop.svc.cluster.local` and what is left of it without its first parts.
    completions: Vec<String>,
}

/// What a question means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The name that was meant, if the one asked for is that name with a search domain behind it.
    pub(super) alias_of: Option<String>,
    /// Its addresses, of both families.
    pub(super) addresses: Arc<[IpAddr]>,
}

impl Names {
    /// Nothing yet. `domain` is that of the proxy: `shop.svc.cluster.local`.
    pub fn new(domain: &str) -> Self {
        let parents = domain.match_indices('.').map(|(at, _)| &domain[at + 1..]);
        let completions = std::iter::once(domain).chain(parents).take(3).map(str::to_owned).collect();
        Self { known: RwLock::new(None), completions }
    }

    /// Whether the control plane has said what there is.
    pub fn is_complete(&self) -> bool {
        self.known.read().is_some()
    }

    /// Tells names apart from then on. `changed` are names in lower case, without a dot at the end.
    pub fn update(
        &self,
        changed: impl IntoIterator<Item = (String, Vec<IpAddr>)>,
        removed: impl IntoIterator<Item = String>,
    ) {
        let mut known = self.known.write();
        let known = known.get_or_insert_default();
        for name in removed {
            known.remove(name.as_str());
        }
        known.extend(changed.into_iter().map(|(name, addresses)| (name.into(), addresses.into())));
    }

    /// What a name means, which is in lower case and without a dot at its end. None: it is not the mesh's.
    pub(super) fn find(&self, asked: &str, search: &[String]) -> Option<Found> {
        let known = self.known.read();
        let known = known.as_ref()?;
        let found = |alias_of: Option<&str>, addresses: &Arc<[IpAddr]>| Found {
            alias_of: alias_of.map(str::to_owned),
            addresses: addresses.clone(),
        };
        if let Some(addresses) = self.exact(known, asked) {
            return Some(found(None, addresses));
        }
        // Resolvers try a name with each search domain first: told at once which name is meant, they need not try the rest.
        for domain in search {
            let base = asked.strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
            if let Some(base) = base.filter(|base| base.contains('.'))
                && let Some(addresses) = self.exact(known, base).or_else(|| covering(known, base))
            {
                return Some(found(Some(base), addresses));
            }
        }
        covering(known, asked).map(|addresses| found(None, addresses))
    }

    /// By the whole name, or a short form of it: `reviews`, `reviews.shop`, `reviews.shop.svc`.
    fn exact<'k>(&self, known: &'k Table, name: &str) -> Option<&'k Arc<[IpAddr]>> {
        known.get(name).or_else(|| {
            self.completions.iter().find_map(|domain| known.get(format!("{name}.{domain}").as_str()))
        })
    }
}

/// The closest wildcard that covers a name.
fn covering<'k>(known: &'k Table, name: &str) -> Option<&'k Arc<[IpAddr]>> {
    name.match_indices('.').find_map(|(at, _)| known.get(format!("*{}", &name[at..]).as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(known: &[&str]) -> Names {
        let names = Names::new("shop.svc.cluster.local");
        let addresses = |index: usize| vec![IpAddr::from([10, 0, 0, index as u8])];
        names
            .update(known.iter().enumerate().map(|(index, name)| ((*name).to_owned(), addresses(index))), []);
        names
    }

    /// The address's last number, and the name that was meant.
    fn find(names: &Names, asked: &str) -> Option<(u8, Option<String>)> {
        let search = ["shop.svc.cluster.local", "svc.cluster.local", "corp.test"].map(str::to_owned);
        let found = names.find(asked, &search)?;
        let [IpAddr::V4(address)] = &found.addresses[..] else { panic!("{found:?}") };
        Some((address.octets()[3], found.alias_of))
    }

    #[test]
    fn names_are_found_whole_short_and_with_search_domains() {
        let names = names(&[
            "reviews.shop.svc.cluster.local",
            "ratings.bank.svc.cluster.local",
            "db.example.com",
            "*.example.org",
            "*.deep.example.org",
        ]);
        let alias = |name: &str| Some(name.to_owned());
        for (asked, expected) in [
            ("reviews.shop.svc.cluster.local", Some((0, None))),
            ("reviews", Some((0, None))),
            ("reviews.shop", Some((0, None))),
            ("reviews.shop.svc", Some((0, None))),
            ("ratings.bank", Some((1, None))),
            ("ratings", None),
            ("ratings.bank.shop.svc.cluster.local", Some((1, alias("ratings.bank")))),
            ("db.example.com", Some((2, None))),
            ("db.example.com.shop.svc.cluster.local", Some((2, alias("db.example.com")))),
            ("db.example.com.corp.test", Some((2, alias("db.example.com")))),
            ("db.example.com.other.test", None),
            ("a.example.org", Some((3, None))),
            ("a.b.example.org", Some((3, None))),
            ("a.deep.example.org", Some((4, None))),
            ("example.org", None),
            ("a.example.org.svc.cluster.local", Some((3, alias("a.example.org")))),
            ("example.com", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(find(&names, asked), expected, "{asked}");
        }
    }

    #[test]
    fn names_come_and_go() {
        let names = Names::new("shop.svc.cluster.local");
        assert!(!names.is_complete() && find(&names, "db.example.com").is_none());
        names.update([], []);
        assert!(names.is_complete(), "nothing is an answer too");
        names.update([("db.example.com".to_owned(), vec![IpAddr::from([10, 0, 0, 7])])], []);
        assert_eq!(find(&names, "db.example.com"), Some((7, None)));
        names.update([], ["db.example.com".to_owned()]);
        assert_eq!(find(&names, "db.example.com"), None);
    }
}
