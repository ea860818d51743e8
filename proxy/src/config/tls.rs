//! TLS contexts, towards clients and towards endpoints. Certificates are named, never carried: they are secrets.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as pb;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;

use super::error::{At as _, ConfigError, Result, each};
use super::value::{decode, enumeration, flag};
use crate::identity::with_revoked;
use crate::snapshot::cluster::{Transport, UpstreamTls};
use crate::snapshot::listener::{ClientCertificate, DownstreamTls, Fingerprint, NameMatch, TlsVersion};

const DOWNSTREAM: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const RAW: &str = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/// TLS towards clients; none is plaintext.
pub(super) fn downstream(socket: Option<&core::TransportSocket>) -> Result<Option<Arc<DownstreamTls>>> {
    let Some(socket) = socket else { return Ok(None) };
    let (type_url, any) = config_of(socket);
    match type_url {
        RAW => Ok(None),
        DOWNSTREAM => {
            let context: pb::DownstreamTlsContext = decode(any.ok_or_else(missing)?)?;
            downstream_context(&context).map(|tls| Some(Arc::new(tls)))
        }
        unknown => Err(ConfigError::unknown_extension("transport socket", &socket.name, unknown)),
    }
}

/// What carries the bytes to endpoints.
pub(super) fn upstream(socket: Option<&core::TransportSocket>) -> Result<Transport> {
    let Some(socket) = socket else { return Ok(Transport::Raw) };
    let (type_url, any) = config_of(socket);
    match type_url {
        RAW => Ok(Transport::Raw),
        UPSTREAM => {
            let context: pb::UpstreamTlsContext = decode(any.ok_or_else(missing)?)?;
            upstream_context(&context).map(|tls| Transport::Tls(Arc::new(tls)))
        }
        unknown => Err(ConfigError::unknown_extension("transport socket", &socket.name, unknown)),
    }
}

/// The type and content of a socket's configuration. A raw buffer is often given by name alone.
fn config_of(socket: &core::TransportSocket) -> (&str, Option<&envoy_types::pb::google::protobuf::Any>) {
    match &socket.config_type {
        Some(core::transport_socket::ConfigType::TypedConfig(any)) => (&any.type_url, Some(any)),
        None if socket.name == "envoy.transport_sockets.raw_buffer" => (RAW, None),
        None => ("", None),
    }
}

fn missing() -> ConfigError {
    ConfigError::new("typed_config is required")
}

fn downstream_context(value: &pb::DownstreamTlsContext) -> Result<DownstreamTls> {
    let common = common(value.common_tls_context.as_ref()).field("common_tls_context")?;
    if common.certificates.is_empty() {
        return Err(ConfigError::new(
            "common_tls_context.tls_certificate_sds_secret_configs: a certificate is required",
        ));
    }
    let required = flag(value.require_client_certificate.as_ref());
    let client_certificate = match (required, common.validates) {
        (true, _) => ClientCertificate::Required,
        (false, true) => ClientCertificate::Optional,
        (false, false) => ClientCertificate::None,
    };
    Ok(DownstreamTls {
        client_certificate,
        certificates: common.certificates,
        roots: common.roots,
        subject_alt_names: common.names,
        fingerprints: common.fingerprints,
        alpn: common.alpn,
        min_version: common.min_version,
        max_version: common.max_version,
        cipher_suites: common.cipher_suites,
    })
}

fn upstream_context(value: &pb::UpstreamTlsContext) -> Result<UpstreamTls> {
    let common = common(value.common_tls_context.as_ref()).field("common_tls_context")?;
    if !common.fingerprints.is_empty() {
        return Err(ConfigError::unsupported("fingerprints of an endpoint's certificate"));
    }
    let exact = |name: &NameMatch| match name {
        NameMatch::Exact(name) => Ok(name.to_string()),
        _ => Err(ConfigError::unsupported("a prefix or suffix as the name of an endpoint's certificate")),
    };
    let names: Result<Vec<String>> = common.names.iter().map(exact).collect();
    Ok(UpstreamTls {
        sni: (!value.sni.is_empty()).then(|| value.sni.as_str().into()),
        alpn: common.alpn,
        certificate: common.certificates.into_iter().next(),
        roots: common.roots,
        subject_alt_names: names?.into(),
        min_version: common.min_version,
        max_version: common.max_version,
    })
}

/// What both directions have.
struct Common {
    certificates: Vec<Arc<str>>,
    roots: Option<Arc<str>>,
    names: Vec<NameMatch>,
    fingerprints: Vec<Fingerprint>,
    validates: bool,
    alpn: Vec<Box<[u8]>>,
    min_version: TlsVersion,
    max_version: TlsVersion,
    cipher_suites: Vec<Box<str>>,
}

fn common(value: Option<&pb::CommonTlsContext>) -> Result<Common> {
    let value = value.ok_or_else(|| ConfigError::new("is required"))?;
    if !value.tls_certificates.is_empty() {
        return Err(ConfigError::unsupported("tls_certificates: a certificate outside of a secret"));
    }
    if value.custom_handshaker.is_some() {
        return Err(ConfigError::unsupported("custom_handshaker"));
    }
    let (min_version, max_version) = versions(value.tls_params.as_ref()).field("tls_params")?;
    let validation = validation(value)?;
    Ok(Common {
        certificates: value
            .tls_certificate_sds_secret_configs
            .iter()
            .map(|s| s.name.as_str().into())
            .collect(),
        roots: validation.roots,
        names: validation.names,
        fingerprints: validation.fingerprints,
        validates: validation.present,
        alpn: value.alpn_protocols.iter().map(|protocol| protocol.as_bytes().into()).collect(),
        min_version,
        max_version,
        cipher_suites: cipher_suites(value.tls_params.as_ref()).field("tls_params.cipher_suites")?,
    })
}

/// Suites of TLS 1.2. OpenSSL's notation for suites of one rank, `[A|B]`, is a list of them here.
fn cipher_suites(value: Option<&pb::TlsParameters>) -> Result<Vec<Box<str>>> {
    let written = value.map_or(&[][..], |value| &value.cipher_suites);
    let names = written.iter().flat_map(|name| name.trim_matches(['[', ']']).split('|'));
    let names: Vec<Box<str>> = names.map(Box::from).collect();
    if !names.is_empty() && pki::tls::provider_with_suites(&names).is_none() {
        return Err(ConfigError::new(format!(
            "this proxy speaks none of {}; it speaks ECDHE-RSA-AES128-GCM-SHA256 and its kin",
            names.join(", ")
        )));
    }
    Ok(names)
}

/// Versions below TLS 1.2 are not spoken: a lower minimum means 1.2, a lower maximum is refused.
fn versions(value: Option<&pb::TlsParameters>) -> Result<(TlsVersion, TlsVersion)> {
    use pb::tls_parameters::TlsProtocol as Pb;
    let Some(value) = value else { return Ok((TlsVersion::V1_2, TlsVersion::V1_3)) };
    let min = match enumeration(value.tls_minimum_protocol_version).field("tls_minimum_protocol_version")? {
        Pb::TlSv13 => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    let max = match enumeration(value.tls_maximum_protocol_version).field("tls_maximum_protocol_version")? {
        Pb::TlsAuto | Pb::TlSv13 => TlsVersion::V1_3,
        Pb::TlSv12 => TlsVersion::V1_2,
        Pb::TlSv10 | Pb::TlSv11 => {
            return Err(ConfigError::unsupported("TLS below 1.2")).field("tls_maximum_protocol_version");
        }
    };
    if min > max {
        return Err(ConfigError::new("the lowest version is above the highest"));
    }
    Ok((min, max))
}

#[derive(Default)]
struct Validation {
    present: bool,
    roots: Option<Arc<str>>,
    names: Vec<NameMatch>,
    fingerprints: Vec<Fingerprint>,
}

fn validation(value: &pb::CommonTlsContext) -> Result<Validation> {
    use pb::common_tls_context::ValidationContextType as Pb;
    match &value.validation_context_type {
        None => Ok(Validation::default()),
        Some(Pb::ValidationContextSdsSecretConfig(secret)) => {
            let roots = Some(secret.name.as_str().into());
            Ok(Validation { present: true, roots, ..Validation::default() })
        }
        Some(Pb::CombinedValidationContext(combined)) => {
            let context = combined.default_validation_context.as_ref();
            let secret = combined.validation_context_sds_secret_config.as_ref();
            let revoked = context.and_then(|context| context.crl.as_ref());
            let roots = secret.map(|secret| roots(&secret.name, revoked)).transpose();
            Ok(Validation {
                present: true,
                roots: roots.field("combined_validation_context.default_validation_context.crl")?,
                names: context
                    .map(names)
                    .transpose()
                    .field("combined_validation_context")?
                    .unwrap_or_default(),
                fingerprints: context
                    .map(fingerprints)
                    .transpose()
                    .field("combined_validation_context")?
                    .unwrap_or_default(),
            })
        }
        Some(Pb::ValidationContext(context)) => inline(context).field("validation_context"),
        Some(_) => Err(ConfigError::unsupported("a certificate provider")),
    }
}

/// The secret with the roots. Where the context names a file with revoked certificates, that is part of a file's name.
fn roots(name: &str, revoked: Option<&core::DataSource>) -> Result<Arc<str>> {
    use core::data_source::Specifier;
    match revoked.map(|source| &source.specifier) {
        None => Ok(name.into()),
        Some(Some(Specifier::Filename(path))) => with_revoked(name, path).map(Into::into).ok_or_else(|| {
            ConfigError::unsupported("a file of revoked certificates beside roots that are none")
        }),
        Some(_) => Err(ConfigError::unsupported("a list of revoked certificates that is no file")),
    }
}

/// A context without a secret can only say that any certificate is fine.
fn inline(context: &pb::CertificateValidationContext) -> Result<Validation> {
    if context.crl.is_some() {
        return Err(ConfigError::unsupported("crl without roots from a secret"));
    }
    if context.trusted_ca.is_some() {
        return Err(ConfigError::unsupported("trusted_ca outside of a secret"));
    }
    Ok(Validation {
        present: false,
        roots: None,
        names: names(context)?,
        fingerprints: fingerprints(context)?,
    })
}

/// Hashes of certificates in hex, with or without colons, and of keys in base64.
fn fingerprints(context: &pb::CertificateValidationContext) -> Result<Vec<Fingerprint>> {
    use base64::Engine as _;
    let mut all = each("verify_certificate_hash", &context.verify_certificate_hash, |written| {
        let digits = written.replace(':', "");
        let byte =
            |at: usize| digits.get(2 * at..2 * at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let bytes: Option<Vec<u8>> = (0..digits.len().div_ceil(2)).map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Fingerprint::Certificate).ok_or_else(no_sha256)
    })?;
    all.extend(each("verify_certificate_spki", &context.verify_certificate_spki, |written| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(written).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Fingerprint::Key).ok_or_else(no_sha256)
    })?);
    Ok(all)
}

fn no_sha256() -> ConfigError {
    ConfigError::new("is no SHA-256")
}

fn names(context: &pb::CertificateValidationContext) -> Result<Vec<NameMatch>> {
    let unsupported = [
        ("custom_validator_config", context.custom_validator_config.is_some()),
        ("allow_expired_certificate", context.allow_expired_certificate),
    ];
    if let Some((field, _)) = unsupported.into_iter().find(|(_, set)| *set) {
        return Err(ConfigError::unsupported(field));
    }
    let mut all = each("match_subject_alt_names", &context.match_subject_alt_names, name)?;
    all.extend(each("match_typed_subject_alt_names", &context.match_typed_subject_alt_names, |typed| {
        typed.matcher.as_ref().map(name).transpose()?.ok_or_else(|| ConfigError::new("a matcher is required"))
    })?);
    all.dedup();
    Ok(all)
}

fn name(value: &matcher::StringMatcher) -> Result<NameMatch> {
    use matcher::string_matcher::MatchPattern;
    match &value.match_pattern {
        Some(MatchPattern::Exact(text)) => Ok(NameMatch::Exact(text.as_str().into())),
        Some(MatchPattern::Prefix(text)) => Ok(NameMatch::Prefix(text.as_str().into())),
        Some(MatchPattern::Suffix(text)) => Ok(NameMatch::Suffix(text.as_str().into())),
        _ => Err(ConfigError::unsupported(
            "a subject alternative name that is not exact, a prefix or a suffix",
        )),
    }
}
