//! TLS towards clients: which configuration answers a ClientHello, and what the handshake told us.

use std::{cell::RefCell, collections::HashMap, sync::Arc, time::Duration};

use pki::tls::ClientAuth;
use rustls::{CipherSuite, ServerConfig, SignatureAlgorithm, SupportedProtocolVersion, server::Accepted};
use tokio::net::TcpStream;
use tokio_rustls::{StartHandshake, server::TlsStream};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

use crate::{
    identity::{Secrets, TlsNames},
    request::outcome::{PeerCertificate, TlsFacts},
    snapshot::listener::{ClientCertificate, DownstreamTls, Fingerprint, NameMatch, TlsVersion},
};

/// ALPN by which two of our proxies agree to carry HTTP/1.1 in HTTP/2.
pub const TRYSAIL_H2: &[u8] = b"trysail-h2";

/// A handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// No configuration could be made.
    #[error("TLS context: {0}")]
    Config(#[from] pki::PkiError),
    /// No certificate yet.
    #[error("secret {0:?} has not arrived; the control plane delivers it")]
    NoCertificate(Arc<str>),
    /// The peer or the connection failed.
    #[error("TLS error: {0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("TLS handshake timed out")]
    Timeout,
    /// The client's certificate has none of the names that are allowed.
    #[error("TLS error: the client's certificate has none of the allowed names")]
    WrongName,
    /// The client's certificate is another one than those that are allowed.
    #[error("TLS error: the client's certificate has none of the allowed fingerprints")]
    WrongFingerprint,
}

/// The configurations that one worker has made, by what they are made of.
#[derive(Debug)]
pub struct ServerConfigs {
    secrets: Arc<Secrets>,
    made: RefCell<HashMap<Key, Arc<ServerConfig>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    names: TlsNames,
    clients: ClientCertificate,
    versions: (TlsVersion, TlsVersion),
    suites: Vec<Box<str>>,
    alpn: Vec<Box<[u8]>>,
}

/// Configurations that are kept. There are few in a sidecar; a gateway has one per secret and ALPN.
const KEPT: usize = 4096;

impl ServerConfigs {
    /// None yet.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, made: RefCell::default() }
    }

    /// The configuration whose ALPN is exactly what both sides can use. With nothing in common it negotiates
    /// nothing: a client that speaks only what Istio's older proxies call `istio` must not be refused.
    fn find(
        &self,
        context: &DownstreamTls,
        carries_http: bool,
        offers: &[Box<[u8]>],
        certificate: Option<&Arc<str>>,
    ) -> Result<Arc<ServerConfig>, HandshakeError> {
        let alpn = agreed(&context.alpn, carries_http, offers);
        let names = TlsNames { certificate: certificate.cloned(), roots: context.roots.clone() };
        let versions = (context.min_version, context.max_version);
        let suites = context.cipher_suites.clone();
        let key = Key { names, clients: context.client_certificate, versions, suites, alpn };
        let mut made = self.made.borrow_mut();
        if let Some(config) = made.get(&key) {
            return Ok(config.clone());
        }
        let identity = self.secrets.identity(&key.names);
        if let (None, Some(name)) = (identity.cert(), &key.names.certificate) {
            return Err(HandshakeError::NoCertificate(name.clone()));
        }
        let clients = match key.clients {
            ClientCertificate::None => ClientAuth::None,
            ClientCertificate::Optional => ClientAuth::Optional,
            ClientCertificate::Required => ClientAuth::Required,
        };
        let alpn: Vec<&[u8]> = key.alpn.iter().map(AsRef::as_ref).collect();
        let versions = supported_versions(versions);
        let provider = pki::tls::provider_with_suites(&key.suites).unwrap_or_else(pki::tls::provider);
        let config = pki::tls::server_config_with_versions(identity, clients, &alpn, &versions, provider)?;
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(key, config.clone());
        Ok(config)
    }
}

/// The secret with the certificate for a client: of several, one that it can verify, ECDSA before RSA as Envoy has it.
fn choose<'a>(secrets: &Secrets, context: &'a DownstreamTls, hello: &Accepted) -> Option<&'a Arc<str>> {
    let [only] = context.certificates.as_slice() else {
        let hello = hello.client_hello();
        let rank = |name: &&Arc<str>| {
            let known = secrets.certificate(name)?;
            let key = &known.certified().key;
            key.choose_scheme(hello.signature_schemes())?;
            speaks(hello.cipher_suites(), key.algorithm()).then_some(())?;
            Some(u8::from(key.algorithm() != SignatureAlgorithm::ECDSA))
        };
        let usable = context.certificates.iter().filter_map(|name| Some((rank(&name)?, name)));
        return usable.min_by_key(|(rank, _)| *rank).map(|(_, name)| name).or(context.certificates.first());
    };
    Some(only)
}

/// Whether a client has a suite for a key of this kind: those of TLS 1.3 are for all.
fn speaks(suites: &[CipherSuite], key: SignatureAlgorithm) -> bool {
    let kind = if key == SignatureAlgorithm::ECDSA { "_ECDSA_" } else { "_RSA_" };
    let fits = |name: &str| name.starts_with("TLS13_") || name.contains(kind);
    suites.iter().any(|suite| suite.as_str().is_some_and(fits))
}

fn supported_versions((min, max): (TlsVersion, TlsVersion)) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    all.into_iter().filter(|(version, _)| (min..=max).contains(version)).map(|(_, version)| version).collect()
}

fn agreed(ours: &[Box<[u8]>], carries_http: bool, offers: &[Box<[u8]>]) -> Vec<Box<[u8]>> {
    if carries_http && offers.iter().any(|offer| &**offer == TRYSAIL_H2) {
        return vec![TRYSAIL_H2.into()];
    }
    ours.iter().filter(|protocol| offers.contains(protocol)).cloned().collect()
}

/// Answers a ClientHello.
pub async fn accept(
    configs: &ServerConfigs,
    context: &DownstreamTls,
    carries_http: bool,
    offers: &[Box<[u8]>],
    hello: Accepted,
    stream: TcpStream,
    timeout: Duration,
) -> Result<(TlsStream<TcpStream>, TlsFacts), HandshakeError> {
    let certificate = choose(&configs.secrets, context, &hello).cloned();
    let config = configs.find(context, carries_http, offers, certificate.as_ref())?;
    let handshake = StartHandshake::from_parts(hello, stream).into_stream(config);
    let stream = tokio::time::timeout(timeout, handshake).await.map_err(|_| HandshakeError::Timeout)??;
    let facts = facts(configs, context, certificate, &stream);
    if let Some(peer) = &facts.peer
        && !context.subject_alt_names.is_empty()
        && !names(peer).any(|name| context.subject_alt_names.iter().any(|want| fits(want, name)))
    {
        return Err(HandshakeError::WrongName);
    }
    if let Some(peer) = &facts.peer
        && !context.fingerprints.is_empty()
        && !context.fingerprints.iter().any(|want| is_of(want, &peer.der))
    {
        return Err(HandshakeError::WrongFingerprint);
    }
    Ok((stream, facts))
}

fn is_of(want: &Fingerprint, der: &[u8]) -> bool {
    use sha2::Digest as _;
    match want {
        Fingerprint::Certificate(hash) => sha2::Sha256::digest(der)[..] == hash[..],
        Fingerprint::Key(hash) => x509_parser::certificate::X509Certificate::from_der(der)
            .is_ok_and(|(_, certificate)| sha2::Sha256::digest(certificate.public_key().raw)[..] == hash[..]),
    }
}

fn names(peer: &PeerCertificate) -> impl Iterator<Item = &str> {
    peer.uri.iter().map(|uri| &**uri).chain(peer.dns.iter().map(|name| &**name))
}

fn fits(want: &NameMatch, name: &str) -> bool {
    match want {
        NameMatch::Exact(text) => name == &**text,
        NameMatch::Prefix(text) => name.starts_with(&**text),
        NameMatch::Suffix(text) => name.ends_with(&**text),
    }
}

fn facts(
    configs: &ServerConfigs,
    context: &DownstreamTls,
    certificate: Option<Arc<str>>,
    stream: &TlsStream<TcpStream>,
) -> TlsFacts {
    let (_, session) = stream.get_ref();
    let names = TlsNames { certificate, roots: context.roots.clone() };
    let local = configs.secrets.identity(&names).id();
    TlsFacts {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default(),
        alpn: session.alpn_protocol().map(Into::into),
        peer: session
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|leaf| describe(leaf))
            .map(Arc::new),
        local_uri: local.map(|id| id.as_str().into()),
    }
}

/// Reads what is worth knowing from a certificate that has been verified.
fn describe(der: &[u8]) -> Option<PeerCertificate> {
    use sha2::Digest as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let mut peer = PeerCertificate {
        subject: certificate.subject().to_string().into(),
        hash: hex(&sha2::Sha256::digest(der)).into(),
        der: bytes::Bytes::copy_from_slice(der),
        ..PeerCertificate::default()
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) if peer.uri.is_none() => peer.uri = Some((*uri).into()),
            GeneralName::DNSName(name) => peer.dns.push((*name).into()),
            _ => {}
        }
    }
    Some(peer)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpn_is_what_both_can_use_and_nothing_is_never_an_alert() {
        let list = |names: &[&str]| -> Vec<Box<[u8]>> { names.iter().map(|n| n.as_bytes().into()).collect() };
        for (ours, http, offers, expected) in [
            (&["h2", "http/1.1"][..], true, &["h2", "http/1.1"][..], &["h2", "http/1.1"][..]),
            (&["h2", "http/1.1"], true, &["http/1.1"], &["http/1.1"]),
            (&["h2", "http/1.1"], true, &["istio-http/1.1", "istio"], &[]),
            (&["h2", "http/1.1"], true, &["trysail-h2", "istio-http/1.1"], &["trysail-h2"]),
            (&["istio-peer-exchange"], false, &["trysail-h2", "istio"], &[]),
            (&["h2"], true, &[], &[]),
        ] {
            assert_eq!(agreed(&list(ours), http, &list(offers)), list(expected), "{offers:?}");
        }
    }
}
