//! TLS settings of clients and servers.

use crds::networking::{ClientTlsMode, ClientTlsSettings, ServerTlsMode, ServerTlsSettings, TlsProtocol};

use super::{
    findings::{At, Findings},
    names,
};

fn set(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

pub(super) fn client(at: &At, tls: &ClientTlsSettings, namespace: &str, found: &mut Findings) {
    let mode = tls.mode.unwrap_or_default();
    let (simple, mutual) = (mode == ClientTlsMode::Simple, mode == ClientTlsMode::Mutual);
    let credential = tls.credential_name.as_deref().unwrap_or_default();
    if let Some(name) = credential.strip_prefix("configmap://") {
        let own = name.split_once('/').is_none_or(|(other, _)| other == namespace);
        found.error_if(
            !own,
            &at.field("credentialName"),
            "a ConfigMap must be in the object's own namespace",
        );
    }
    if tls.insecure_skip_verify == Some(true) && (simple || mutual) {
        let verified = set(tls.ca_certificates.as_ref()) || !tls.subject_alt_names.is_empty();
        found.error_if(
            verified || (simple && !credential.is_empty()),
            &at.field("insecureSkipVerify"),
            "excludes caCertificates, subjectAltNames and (in mode SIMPLE) credentialName, which are there to verify",
        );
    }
    if (simple || mutual) && !credential.is_empty() {
        let files = [&tls.client_certificate, &tls.private_key, &tls.ca_certificates, &tls.ca_crl];
        found.error_if(
            files.into_iter().any(|file| set(file.as_ref())),
            &at.field("credentialName"),
            "excludes clientCertificate, privateKey, caCertificates and caCrl; put them into the Secret",
        );
        return;
    }
    if mutual {
        found.error_if(
            !set(tls.client_certificate.as_ref()),
            &at.field("clientCertificate"),
            "is needed in mode MUTUAL",
        );
        found.error_if(!set(tls.private_key.as_ref()), &at.field("privateKey"), "is needed in mode MUTUAL");
    }
    // Without authorities any certificate is taken; Istio's analyze says so too (IST0128).
    if (simple || mutual) && !set(tls.ca_certificates.as_ref()) && tls.insecure_skip_verify != Some(true) {
        found.warning(at, "has no caCertificates, so the system's authorities decide whom to trust");
    }
}

pub(super) fn server(at: &At, tls: &ServerTlsSettings, found: &mut Findings) {
    let mode = tls.mode.unwrap_or_default();
    let old =
        |version: Option<TlsProtocol>| matches!(version, Some(TlsProtocol::TlsV1_0 | TlsProtocol::TlsV1_1));
    if old(tls.min_protocol_version) && tls.cipher_suites.is_empty() {
        found.warning(
            &at.field("minProtocolVersion"),
            "versions before TLS 1.2 need cipherSuites that fit them",
        );
    }
    hashes(at, tls, found);
    match mode {
        ServerTlsMode::IstioMutual => return istio_mutual(at, tls, found),
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough
            if sources(tls) > 0 || set(tls.ca_certificates.as_ref()) || set(tls.ca_crl.as_ref()) =>
        {
            found.warning(at, format!("mode {mode} doesn't use certificates; they are ignored"));
        }
        _ => {}
    }
    found.error_if(
        sources(tls) > 1,
        at,
        "only one of credentialName, credentialNames, serverCertificate with privateKey, and tlsCertificates can be set",
    );
    let terminates =
        matches!(mode, ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    if terminates && !set(tls.credential_name.as_ref()) && tls.credential_names.is_empty() {
        files(at, tls, mode, found);
    }
    if set(tls.ca_crl.as_ref()) {
        found.error_if(
            set(tls.credential_name.as_ref()),
            &at.field("caCrl"),
            "excludes credentialName; put it into the Secret",
        );
        found.error_if(mode == ServerTlsMode::Simple, &at.field("caCrl"), "has no meaning in mode SIMPLE");
    }
}

/// How many ways to get a certificate are configured.
fn sources(tls: &ServerTlsSettings) -> usize {
    [
        set(tls.server_certificate.as_ref()) && set(tls.private_key.as_ref()),
        set(tls.credential_name.as_ref()),
        !tls.credential_names.is_empty(),
        !tls.tls_certificates.is_empty(),
    ]
    .into_iter()
    .filter(|present| *present)
    .count()
}

fn istio_mutual(at: &At, tls: &ServerTlsSettings, found: &mut Findings) {
    for (name, present) in [
        ("serverCertificate", set(tls.server_certificate.as_ref())),
        ("privateKey", set(tls.private_key.as_ref())),
        ("caCertificates", set(tls.ca_certificates.as_ref())),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ("credentialName", set(tls.credential_name.as_ref())),
        ("credentialNames", !tls.credential_names.is_empty()),
    ] {
        found.error_if(
            present,
            &at.field(name),
            "mode ISTIO_MUTUAL uses the mesh's certificates; remove this",
        );
    }
}

fn files(at: &At, tls: &ServerTlsSettings, mode: ServerTlsMode, found: &mut Findings) {
    if mode != ServerTlsMode::Simple && !set(tls.ca_certificates.as_ref()) {
        found.error(
            &at.field("caCertificates"),
            format!("is needed in mode {mode}, unless credentialName is set"),
        );
    }
    let needed = "is needed, unless credentialName is set";
    if tls.tls_certificates.is_empty() {
        found.error_if(!set(tls.server_certificate.as_ref()), &at.field("serverCertificate"), needed);
        found.error_if(!set(tls.private_key.as_ref()), &at.field("privateKey"), needed);
    }
    for (index, certificate) in tls.tls_certificates.iter().enumerate() {
        let at = at.item("tlsCertificates", index);
        found.error_if(
            !set(certificate.server_certificate.as_ref()),
            &at.field("serverCertificate"),
            "is needed",
        );
        found.error_if(!set(certificate.private_key.as_ref()), &at.field("privateKey"), "is needed");
    }
}

fn hashes(at: &At, tls: &ServerTlsSettings, found: &mut Findings) {
    for (index, name) in tls.subject_alt_names.iter().enumerate() {
        found.error_if(name.is_empty(), &at.item("subjectAltNames", index), "can't be empty");
    }
    let mut seen = std::collections::BTreeSet::new();
    for (index, suite) in tls.cipher_suites.iter().enumerate() {
        if !seen.insert(suite) {
            found.warning(&at.item("cipherSuites", index), format!("{suite} is there twice"));
        }
    }
}

/// TLS settings make sense only where TLS is terminated, or where HTTP is redirected to HTTPS.
pub(super) fn fits_protocol(
    at: &At,
    tls: Option<&ServerTlsSettings>,
    protocol: names::Protocol,
    found: &mut Findings,
) {
    let Some(tls) = tls else {
        return found.error_if(
            protocol.is_tls(),
            &at.field("tls"),
            "is needed for the protocols HTTPS and TLS",
        );
    };
    if protocol.is_tls() {
        return;
    }
    let passthrough =
        matches!(tls.mode.unwrap_or_default(), ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough);
    let certificates = [&tls.ca_certificates, &tls.private_key, &tls.server_certificate];
    let certificates = certificates.into_iter().any(|file| set(file.as_ref()));
    if !protocol.is_http() {
        found.error(&at.field("tls"), "is possible only for the protocols HTTPS and TLS");
    } else if !passthrough || certificates {
        found.error(
            &at.field("tls"),
            "a port of plain HTTP can have httpsRedirect and nothing else; did you mean protocol HTTPS?",
        );
    }
}
