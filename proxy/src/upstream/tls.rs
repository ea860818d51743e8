//! TLS towards endpoints: what is offered, what is shown, who is believed.
//!
//! rustls configurations are made once per set of names and protocols and kept by the worker; they read the identity at
//! each handshake, so a renewed certificate needs no new configuration.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use pki::{
    Identity,
    tls::{AnyCertificate, PeerNames},
};
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::{
    identity::{Secrets, TlsNames},
    request::outcome::Protocol,
    snapshot::{cluster::UpstreamTls, listener::TlsVersion},
};

/// HTTP/1.1 requests carried in HTTP/2, between two proxies of ours.
pub const TRYSAIL_H2: &[u8] = b"trysail-h2";
const ISTIO: &[u8] = b"istio";
const ISTIO_HTTP_11: &[u8] = b"istio-http/1.1";
const ISTIO_H2: &[u8] = b"istio-h2";
const H2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

/// What a connection is for, which decides what ALPN offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wire {
    /// HTTP/1.1 requests; HTTP/2 may carry them to a peer of ours.
    Http1,
    /// HTTP/1.1 requests that nothing else may carry: one that takes the connection over (WebSocket), or those to a
    /// destination whose connections are counted.
    Http1Alone,
    /// HTTP/2.
    Http2,
    /// Whatever the endpoint prefers.
    Auto,
    /// Bytes.
    Tcp,
}

impl Wire {
    /// The protocols to offer, best first.
    fn offers(self, tls: &UpstreamTls) -> Vec<&[u8]> {
        if tls.alpn.iter().any(|protocol| &**protocol == ISTIO) {
            return match self {
                Self::Http1 => vec![TRYSAIL_H2, ISTIO_HTTP_11],
                Self::Http1Alone => vec![ISTIO_HTTP_11],
                Self::Http2 => vec![ISTIO_H2],
                Self::Auto => vec![ISTIO_H2, ISTIO_HTTP_11],
                Self::Tcp => vec![ISTIO],
            };
        }
        if !tls.alpn.is_empty() {
            return tls.alpn.iter().map(|protocol| &**protocol).collect();
        }
        match self {
            Self::Http1 | Self::Http1Alone => vec![HTTP_11],
            Self::Http2 => vec![H2],
            Self::Auto => vec![H2, HTTP_11],
            Self::Tcp => Vec::new(),
        }
    }

    /// Whether a connection on which this was agreed speaks HTTP/2.
    pub(super) fn is_http2(self, agreed: Option<&[u8]>) -> bool {
        match (self, agreed) {
            (Self::Http2, _) => true,
            (Self::Http1, Some(agreed)) => agreed == TRYSAIL_H2,
            (Self::Auto, Some(agreed)) => agreed == H2 || agreed == ISTIO_H2,
            _ => false,
        }
    }

    /// What a connection carries.
    pub(super) fn protocol(self, http2: bool) -> Protocol {
        match self {
            Self::Tcp => Protocol::Tcp,
            _ if http2 => Protocol::Http2,
            _ => Protocol::Http11,
        }
    }

    /// Whether one connection might carry many requests at a time.
    pub(super) fn may_be_http2(self, tls: Option<&UpstreamTls>) -> bool {
        match self {
            Self::Http2 => true,
            Self::Http1 => tls.is_some_and(|tls| tls.alpn.iter().any(|protocol| &**protocol == ISTIO)),
            Self::Auto => tls.is_some(),
            Self::Http1Alone | Self::Tcp => false,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ConfigKey {
    names: TlsNames,
    subject_alt_names: Arc<[String]>,
    /// Also the server's own name (`auto_san_validation`).
    server_name: bool,
    offers: Vec<Box<[u8]>>,
    versions: (TlsVersion, TlsVersion),
}

/// A configuration, and the identity that it shows.
type Made = (Arc<ClientConfig>, Arc<Identity>);

/// One worker's rustls configurations.
#[derive(Debug)]
pub(super) struct ClientConfigs {
    secrets: Arc<Secrets>,
    made: RefCell<HashMap<ConfigKey, Made>>,
}

impl ClientConfigs {
    pub(super) fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, made: RefCell::default() }
    }

    /// The configuration for a connection. `verify_server_name`: the certificate must have the SNI as a name.
    pub(super) fn get(
        &self,
        tls: &UpstreamTls,
        wire: Wire,
        verify_server_name: bool,
    ) -> Result<Made, String> {
        let key = ConfigKey {
            names: TlsNames { certificate: tls.certificate.clone(), roots: tls.roots.clone() },
            subject_alt_names: tls.subject_alt_names.clone(),
            server_name: verify_server_name,
            offers: wire.offers(tls).into_iter().map(Box::from).collect(),
            versions: (tls.min_version, tls.max_version),
        };
        let mut made = self.made.borrow_mut();
        if let Some(known) = made.get(&key) {
            return Ok(known.clone());
        }
        let identity = self.secrets.identity(&key.names);
        let new = (make(&key, identity.clone())?, identity);
        made.insert(key, new.clone());
        Ok(new)
    }

    /// Forgets what no connection was made with lately. A configuration is cheap to make again.
    pub(super) fn clear(&self) {
        let mut made = self.made.borrow_mut();
        made.retain(|_, (config, _)| Arc::strong_count(config) > 1);
        made.shrink_to_fit();
    }
}

fn make(key: &ConfigKey, identity: Arc<Identity>) -> Result<Arc<ClientConfig>, String> {
    let peers = if !key.subject_alt_names.is_empty() {
        PeerNames::OneOf(key.subject_alt_names.clone())
    } else if key.server_name {
        PeerNames::ServerName
    } else {
        PeerNames::Any
    };
    let offers: Vec<&[u8]> = key.offers.iter().map(|offer| &**offer).collect();
    let versions: Vec<_> = ALL_VERSIONS
        .into_iter()
        .filter(|(version, _)| (key.versions.0..=key.versions.1).contains(version))
        .map(|(_, version)| version)
        .collect();
    let config = pki::tls::client_config_with_versions(identity, peers, &offers, &versions)
        .map_err(|error| error.to_string())?;
    if key.names.roots.is_some() {
        return Ok(config);
    }
    let mut config = Arc::unwrap_or_clone(config);
    config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate::default()));
    Ok(Arc::new(config))
}

const ALL_VERSIONS: [(TlsVersion, &SupportedProtocolVersion); 2] =
    [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
