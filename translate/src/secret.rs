//! Kubernetes Secrets as certificates and roots. Only those of the proxy's own namespace are handed out: no object
//! elsewhere can make it reach another namespace's secrets.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{NamespacedName, Secret};
use xds::{ResourceType, names};

use crate::cluster::tls;
use crate::context::Context;
use crate::generate::Set;
use crate::proto::{core, tls as pb};
use crate::resource::Resource;

/// Secrets that DestinationRules name for this proxy: a gateway, or a workload that the rule selects.
pub(crate) fn of_rules(context: &Context<'_>) -> Set {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let all = context.mesh.destination_rules.iter();
    let rules = all.flat_map(|(namespace, hosts)| {
        hosts.values().flat_map(|rules| rules.iter()).map(move |rule| (namespace, rule))
    });
    for (namespace, rule) in rules {
        let view = context.view;
        let selects = rule.selects && *namespace == view.namespace && view.labels.satisfy(&rule.selector);
        if !selects && (rule.selects || !context.is_gateway()) {
            continue;
        }
        let subsets = rule.subsets.iter().filter_map(|subset| subset.traffic_policy.as_ref());
        for policy in rule.policy.as_deref().into_iter().chain(subsets) {
            let ports = policy.port_level_settings.iter().filter_map(|port| port.tls.as_ref());
            for settings in policy.tls.iter().chain(ports) {
                wanted.extend(tls::credentials(settings));
            }
        }
    }
    wanted.iter().filter_map(|name| one(context, name)).map(|secret| (ResourceType::Secret, secret)).collect()
}

/// One secret by its credential's name; none if there is no such Secret.
pub(crate) fn one(context: &Context<'_>, credential: &str) -> Option<Arc<Resource>> {
    let named = credential.strip_prefix(names::SECRET_KUBERNETES).unwrap_or(credential);
    let find = |name: &str| {
        let (namespace, name) = name.split_once('/').unwrap_or((&context.view.namespace, name));
        let own = *namespace == *context.view.namespace;
        let key = NamespacedName::new(namespace, name);
        context.mesh.secrets.get(&key).filter(|_| own).map(|secret| &**secret)
    };
    let resource_name = format!("{}{named}", names::SECRET_KUBERNETES);
    let kind = if let Some(base) = named.strip_suffix(names::SECRET_CA_SUFFIX) {
        let secret = find(named).filter(|secret| !secret.ca.is_empty()).or_else(|| find(base))?;
        pb::secret::Type::ValidationContext(roots(secret)?)
    } else {
        let secret = find(named)?;
        if secret.certificate.is_empty() {
            pb::secret::Type::ValidationContext(roots(secret)?)
        } else {
            pb::secret::Type::TlsCertificate(certificate(secret))
        }
    };
    let secret = pb::Secret { name: resource_name.clone(), r#type: Some(kind) };
    Some(Resource::of(&resource_name, &secret))
}

fn certificate(secret: &Secret) -> pb::TlsCertificate {
    pb::TlsCertificate {
        certificate_chain: Some(inline(&secret.certificate)),
        private_key: Some(inline(&secret.private_key)),
        ..Default::default()
    }
}

fn roots(secret: &Secret) -> Option<pb::CertificateValidationContext> {
    let given = |bytes: &[u8]| (!bytes.is_empty()).then(|| inline(bytes));
    Some(pb::CertificateValidationContext {
        trusted_ca: Some(given(&secret.ca)?),
        crl: given(&secret.revoked),
        ..Default::default()
    })
}

fn inline(bytes: &[u8]) -> core::DataSource {
    let specifier = core::data_source::Specifier::InlineBytes(bytes.to_vec());
    core::DataSource { specifier: Some(specifier), ..Default::default() }
}
