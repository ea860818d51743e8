//! Certificates that a gateway's servers name, out of Secrets of the gateway's own namespace. Nothing else is handed
//! out: a Gateway object elsewhere cannot reach another namespace's secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{NamespacedName, Secret};
use xds::names;

use super::tls::{ca_credential, credential_names};
use super::{Place, Serving};
use crate::context::Context;
use crate::proto::{core, tls};
use crate::resource::Resource;

/// Secrets for all servers.
pub(super) fn secrets(
    context: &Context<'_>,
    places: &BTreeMap<Place, Vec<Serving<'_>>>,
) -> Vec<Arc<Resource>> {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for serving in places.values().flatten().filter(|serving| serving.terminates()) {
        let Some(settings) = &serving.server.tls else { continue };
        wanted.extend(credential_names(settings).into_iter().map(str::to_owned));
        wanted.extend(ca_credential(settings));
    }
    wanted.iter().filter_map(|name| one(context, name)).collect()
}

fn one(context: &Context<'_>, credential: &str) -> Option<Arc<Resource>> {
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
        tls::secret::Type::ValidationContext(roots(secret)?)
    } else {
        let secret = find(named)?;
        if secret.certificate.is_empty() {
            tls::secret::Type::ValidationContext(roots(secret)?)
        } else {
            tls::secret::Type::TlsCertificate(certificate(secret))
        }
    };
    let secret = tls::Secret { name: resource_name.clone(), r#type: Some(kind) };
    Some(Resource::of(&resource_name, &secret))
}

fn certificate(secret: &Secret) -> tls::TlsCertificate {
    tls::TlsCertificate {
        certificate_chain: Some(inline(&secret.certificate)),
        private_key: Some(inline(&secret.private_key)),
        ..Default::default()
    }
}

fn roots(secret: &Secret) -> Option<tls::CertificateValidationContext> {
    let given = |bytes: &[u8]| (!bytes.is_empty()).then(|| inline(bytes));
    Some(tls::CertificateValidationContext {
        trusted_ca: Some(given(&secret.ca)?),
        crl: given(&secret.revoked),
        ..Default::default()
    })
}

fn inline(bytes: &[u8]) -> core::DataSource {
    let specifier = core::data_source::Specifier::InlineBytes(bytes.to_vec());
    core::DataSource { specifier: Some(specifier), ..Default::default() }
}
