//! What of a request, or of a connection, decides on its endpoint where a DestinationRule hashes.

use crds::networking::ConsistentHashLb;
use envoy_types::pb::envoy::r#type::v3 as kinds;

use crate::context::Context;
use crate::policy::Policy;
use crate::proto::{route, written};
use route::route_action::{HashPolicy, hash_policy};

/// The hash policy for a destination, if its rule hashes.
pub(crate) fn http(
    context: &Context<'_>,
    host: &str,
    namespace: &str,
    subset: &str,
    port: u16,
) -> Option<HashPolicy> {
    let rule = context.rule_for(host, namespace)?;
    let policy = Policy::of(&context.mesh.settings, Some(rule), subset, port);
    let hash = policy.load_balancer?.consistent_hash.as_ref()?;
    specifier(hash).map(|specifier| HashPolicy { policy_specifier: Some(specifier), terminal: false })
}

/// Likewise for connections, which have nothing but their source address.
pub(crate) fn tcp(
    context: &Context<'_>,
    host: &str,
    namespace: &str,
    subset: &str,
    port: u16,
) -> Vec<kinds::HashPolicy> {
    let hashes = context.rule_for(host, namespace).is_some_and(|rule| {
        let policy = Policy::of(&context.mesh.settings, Some(rule), subset, port);
        let hash = policy.load_balancer.and_then(|settings| settings.consistent_hash.as_ref());
        hash.is_some_and(|hash| hash.use_source_ip == Some(true))
    });
    let source = kinds::hash_policy::PolicySpecifier::SourceIp(kinds::hash_policy::SourceIp {});
    if hashes { vec![kinds::HashPolicy { policy_specifier: Some(source) }] } else { Vec::new() }
}

fn specifier(hash: &ConsistentHashLb) -> Option<hash_policy::PolicySpecifier> {
    use hash_policy::PolicySpecifier;
    if let Some(header) = &hash.http_header_name {
        return Some(PolicySpecifier::Header(hash_policy::Header {
            header_name: header.clone(),
            ..Default::default()
        }));
    }
    if let Some(cookie) = &hash.http_cookie {
        let attributes = cookie.attributes.iter().map(|attribute| hash_policy::CookieAttribute {
            name: attribute.name.clone(),
            value: attribute.value.clone().unwrap_or_default(),
        });
        return Some(PolicySpecifier::Cookie(hash_policy::Cookie {
            name: cookie.name.clone(),
            ttl: written(cookie.ttl),
            path: cookie.path.clone().unwrap_or_default(),
            attributes: attributes.collect(),
        }));
    }
    if let Some(source_ip) = hash.use_source_ip {
        return Some(PolicySpecifier::ConnectionProperties(hash_policy::ConnectionProperties { source_ip }));
    }
    let name = hash.http_query_parameter_name.clone()?;
    Some(PolicySpecifier::QueryParameter(hash_policy::QueryParameter { name }))
}
