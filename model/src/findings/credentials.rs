//! Secrets that servers and rules name.

use std::collections::BTreeSet;

use crds::networking::{Server, ServerTlsMode};

use super::FindingKind::UnresolvedReference;
use super::list::{At, List};
use crate::mesh::{Mesh, of_namespace};
use crate::value::{NamespacedName, Text};

/// End of the name of a Secret that has only the authorities for clients' certificates.
const CA_SUFFIX: &str = "-cacert";

/// Secrets of a server, which each of its proxies takes from its own namespace.
pub(super) fn of_server(mesh: &Mesh, server: &Server, namespaces: &BTreeSet<Text>, at: &At, list: &mut List) {
    let Some(tls) = &server.tls else { return };
    let one = tls.credential_name.as_deref().filter(|name| !name.is_empty());
    let several = tls
        .credential_names
        .iter()
        .enumerate()
        .map(|(index, name)| (at.item("credentialNames", index), &**name));
    let named: Vec<_> =
        one.map(|name| (at.field("credentialName"), name)).into_iter().chain(several).collect();
    let verifies = matches!(tls.mode, Some(ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual));
    let authorities = tls.ca_cert_credential_name.as_deref().filter(|name| !name.is_empty());
    for namespace in namespaces {
        for (at, name) in &named {
            certificate(mesh, namespace, name, at, list);
        }
        match (authorities, named.first()) {
            _ if !verifies => {}
            (Some(name), _) => ca(mesh, namespace, &[name], &at.field("caCertCredentialName"), list),
            (None, Some((at, name))) if is_known(mesh, namespace, name) => {
                ca(mesh, namespace, &[&format!("{name}{CA_SUFFIX}"), name], at, list);
            }
            _ => {}
        }
    }
}

fn key(namespace: &str, name: &str) -> Option<NamespacedName> {
    let name = name.strip_prefix("kubernetes://").unwrap_or(name);
    let (of, name) = name.split_once('/').unwrap_or((namespace, name));
    // Another namespace's Secrets are never handed out.
    (of == namespace).then(|| NamespacedName::new(namespace, name))
}

fn is_known(mesh: &Mesh, namespace: &str, name: &str) -> bool {
    key(namespace, name).is_some_and(|key| mesh.secrets.contains_key(&key))
}

/// A Secret with certificate and key.
pub(super) fn certificate(mesh: &Mesh, namespace: &Text, name: &str, at: &At, list: &mut List) {
    if !mesh.knows_secrets(namespace) {
        return;
    }
    let Some(key) = key(namespace, name) else {
        return list.error(
            UnresolvedReference,
            at,
            format_args!("{name} is in another namespace than the gateway's pods, {namespace}, which get only Secrets of their own"),
        );
    };
    let secret = mesh.secrets.get(&key);
    if secret.is_some_and(|secret| !secret.certificate.is_empty() && !secret.private_key.is_empty()) {
        return;
    }
    let elsewhere =
        mesh.secrets.keys().find(|other| other.name == key.name && other.namespace != key.namespace);
    let names: Vec<&str> = of_namespace(&mesh.secrets, namespace).map(|secret| &*secret.name.name).collect();
    let hint = match (secret, elsewhere, crds::closest(&key.name, &names)) {
        (Some(_), ..) => "it has no certificate with key: tls.crt and tls.key, or cert and key".to_owned(),
        (None, Some(other), _) => {
            format!("{other} is in another namespace than the gateway's pods; copy it to {namespace}")
        }
        (None, None, Some(meant)) => {
            format!("there is no such Secret with a certificate; did you mean {meant}?")
        }
        (None, None, None) => {
            "there is no such Secret, or it has no tls.crt and tls.key (or cert and key); until it has, \
             TLS handshakes fail"
                .to_owned()
        }
    };
    list.error(UnresolvedReference, at, format_args!("Secret {key}: {hint}"));
}

/// A Secret with authorities, under one of several names.
fn ca(mesh: &Mesh, namespace: &Text, names: &[&str], at: &At, list: &mut List) {
    let has = |name: &&str| {
        let secret = key(namespace, name).and_then(|key| mesh.secrets.get(&key));
        secret.is_some_and(|secret| !secret.ca.is_empty())
    };
    if mesh.knows_secrets(namespace) && !names.iter().any(has) {
        list.error(
            UnresolvedReference,
            at,
            format_args!(
                "no Secret {} of namespace {namespace} has authorities for clients' certificates, ca.crt or cacert, \
                 which the mode needs",
                names.join(" or ")
            ),
        );
    }
}
