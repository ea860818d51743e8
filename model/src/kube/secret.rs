//! Secret with the certificates of a gateway's server.

use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1;

use super::name_of;
use crate::value::NamespacedName;

/// Certificate, key and CA of a server, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Namespace and name.
    pub name: NamespacedName,
    /// Certificate chain: `tls.crt` or `cert`.
    pub certificate: Vec<u8>,
    /// Private key: `tls.key` or `key`.
    pub private_key: Vec<u8>,
    /// CA that client certificates are verified against: `ca.crt` or `cacert`.
    pub ca: Vec<u8>,
    /// Revoked certificates: `ca.crl` or `crl`.
    pub revoked: Vec<u8>,
}

impl Secret {
    /// Whether there is anything in it that a gateway could use.
    pub fn is_usable(&self) -> bool {
        (!self.certificate.is_empty() && !self.private_key.is_empty()) || !self.ca.is_empty()
    }
}

impl From<&v1::Secret> for Secret {
    fn from(secret: &v1::Secret) -> Self {
        let data = |keys: [&str; 2]| {
            let data = secret.data.as_ref();
            let found = data.and_then(|data| keys.iter().find_map(|key| data.get(*key)));
            let plain = secret.string_data.as_ref();
            let written = plain.and_then(|data| keys.iter().find_map(|key| data.get(*key)));
            match (written, found) {
                (Some(text), _) => text.clone().into_bytes(),
                (None, Some(ByteString(bytes))) => bytes.clone(),
                (None, None) => Vec::new(),
            }
        };
        Self {
            name: name_of(&secret.metadata),
            certificate: data(["tls.crt", "cert"]),
            private_key: data(["tls.key", "key"]),
            ca: data(["ca.crt", "cacert"]),
            revoked: data(["ca.crl", "crl"]),
        }
    }
}

/// Keys do not belong into logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}
