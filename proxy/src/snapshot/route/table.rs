//! Route tables: from an authority to its virtual host.

use std::sync::Arc;

use super::virtual_host::VirtualHost;
use crate::snapshot::{Named, headers::HeaderEdits, matcher::BadRegex};

/// A route table could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BadRoutes {
    /// Two virtual hosts want one domain.
    #[error(
        "virtual host {second:?}: domain {domain:?} belongs to virtual host {first:?} already; remove one"
    )]
    DuplicateDomain {
        /// The domain.
        domain: Arc<str>,
        /// Who has it.
        first: Arc<str>,
        /// Who wants it.
        second: Arc<str>,
    },
    /// A domain with a wildcard in the middle.
    #[error("virtual host {host:?}: domain {domain:?}: a wildcard stands only at one end")]
    Wildcard {
        /// The virtual host.
        host: Arc<str>,
        /// The domain.
        domain: Arc<str>,
    },
    /// A route's path expression.
    #[error("virtual host {host:?}: {source}")]
    Regex {
        /// The virtual host.
        host: Arc<str>,
        /// The expression and why.
        #[source]
        source: BadRegex,
    },
}

/// Envoy's RouteConfiguration.
#[derive(Debug, Clone)]
pub struct RouteTable {
    /// Its name.
    pub name: Arc<str>,
    /// A port in the request's authority is ignored when the virtual host is looked up.
    pub ignore_port: bool,
    /// Edits of every request.
    pub request_headers: HeaderEdits,
    /// Edits of every response.
    pub response_headers: HeaderEdits,
    /// The table's edits come after the route's, not before (`most_specific_header_mutations_wins` unset).
    pub table_edits_last: bool,
    hosts: Named<VirtualHost>,
    exact: Named<VirtualHost>,
    suffix: Wildcards,
    prefix: Wildcards,
    any: Option<Arc<VirtualHost>>,
}

impl RouteTable {
    /// A table without edits.
    pub fn new(
        name: impl Into<Arc<str>>,
        hosts: impl IntoIterator<Item = Arc<VirtualHost>>,
    ) -> Result<Self, BadRoutes> {
        let mut table = Self {
            name: name.into(),
            ignore_port: false,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            table_edits_last: true,
            hosts: Named::default(),
            exact: Named::default(),
            suffix: Wildcards::default(),
            prefix: Wildcards::default(),
            any: None,
        };
        for host in hosts {
            table.insert(&host)?;
        }
        Ok(table)
    }

    /// The same table with some virtual hosts replaced or added and some removed (by name).
    pub fn with_hosts(
        &self,
        changed: impl IntoIterator<Item = Arc<VirtualHost>>,
        removed: &[Arc<str>],
    ) -> Result<Self, BadRoutes> {
        let mut table = self.clone();
        let changed: Vec<_> = changed.into_iter().collect();
        for name in removed.iter().chain(changed.iter().map(|host| &host.name)) {
            table.remove(name);
        }
        for host in &changed {
            table.insert(host)?;
        }
        Ok(table)
    }

    /// The virtual hosts, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.hosts.values()
    }

    /// The virtual host for an authority: exact, then the longest `*suffix`, then the longest `prefix*`, then `*`.
    pub fn host(&self, authority: &str) -> Option<&Arc<VirtualHost>> {
        let authority = if self.ignore_port { without_port(authority) } else { authority };
        if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.host_in_lower_case(&authority.to_ascii_lowercase());
        }
        self.host_in_lower_case(authority)
    }

    fn host_in_lower_case(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        self.exact
            .get(host)
            .or_else(|| self.suffix.find(host, |host, length| host.get(host.len() - length..)))
            .or_else(|| self.prefix.find(host, |host, length| host.get(..length)))
            .or(self.any.as_ref())
    }

    fn insert(&mut self, host: &Arc<VirtualHost>) -> Result<(), BadRoutes> {
        for domain in &host.domains {
            let folded = in_lower_case(domain);
            let middle = folded.strip_prefix('*').unwrap_or(&folded);
            let middle = middle.strip_suffix('*').unwrap_or(middle);
            if middle.contains('*') || (folded.len() > middle.len() + 1) {
                return Err(BadRoutes::Wildcard { host: host.name.clone(), domain: domain.clone() });
            }
            let previous = if &*folded == "*" {
                self.any.replace(host.clone())
            } else if folded.starts_with('*') {
                self.suffix.entry(middle).insert(middle.into(), host.clone())
            } else if folded.ends_with('*') {
                self.prefix.entry(middle).insert(middle.into(), host.clone())
            } else {
                self.exact.insert(folded.clone(), host.clone())
            };
            if let Some(first) = previous {
                return Err(BadRoutes::DuplicateDomain {
                    domain: domain.clone(),
                    first: first.name.clone(),
                    second: host.name.clone(),
                });
            }
        }
        self.hosts.insert(host.name.clone(), host.clone());
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        let Some(host) = self.hosts.remove(name) else { return };
        for domain in &host.domains {
            let folded = in_lower_case(domain);
            if &*folded == "*" {
                self.any = None;
            } else if let Some(rest) = folded.strip_prefix('*') {
                self.suffix.entry(rest).remove(rest);
            } else if let Some(rest) = folded.strip_suffix('*') {
                self.prefix.entry(rest).remove(rest);
            } else {
                self.exact.remove(&*folded);
            }
        }
    }
}

/// Domains with a wildcard at one end, by the length of the rest, longest first.
#[derive(Debug, Clone, Default)]
struct Wildcards(Vec<(usize, Named<VirtualHost>)>);

impl Wildcards {
    fn entry(&mut self, rest: &str) -> &mut Named<VirtualHost> {
        let at = match self.0.binary_search_by(|(length, _)| rest.len().cmp(length)) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (rest.len(), Named::default()));
                at
            }
        };
        &mut self.0[at].1
    }

    fn find<'a>(
        &self,
        host: &'a str,
        part: impl Fn(&'a str, usize) -> Option<&'a str>,
    ) -> Option<&Arc<VirtualHost>> {
        // The wildcard stands for at least one character.
        self.0
            .iter()
            .filter(|(length, _)| *length < host.len())
            .find_map(|(length, hosts)| hosts.get(part(host, *length)?))
    }
}

/// A domain as it is looked up. Nearly all are written so.
fn in_lower_case(domain: &Arc<str>) -> Arc<str> {
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return domain.to_ascii_lowercase().into();
    }
    domain.clone()
}

/// An authority without its port; IPv6 addresses keep their brackets.
pub fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon)
            if authority[colon + 1..].bytes().all(|byte| byte.is_ascii_digit())
                && (!authority[..colon].contains(':') || authority[..colon].ends_with(']')) =>
        {
            &authority[..colon]
        }
        _ => authority,
    }
}
