//! Secrets: certificates with their keys, and roots.

use std::time::SystemTime;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as pb;
use pki::{TrustBundle, WorkloadCert};

use super::error::{At as _, ConfigError, Result};
use super::value::data;

/// What a secret holds.
#[derive(Debug)]
pub enum CompiledSecret {
    /// A certificate chain with its key.
    Certificate(Box<WorkloadCert>),
    /// Roots that peers are verified against.
    Roots(TrustBundle),
}

/// Compiles a secret. Errors never quote its content.
pub fn secret(value: &pb::Secret, now: SystemTime) -> Result<CompiledSecret> {
    use pb::secret::Type;
    match &value.r#type {
        Some(Type::TlsCertificate(certificate)) => {
            let part = |source, name| {
                data(source).field(name)?.ok_or_else(|| ConfigError::new(format!("{name} is required")))
            };
            if certificate.private_key_provider.is_some() {
                return Err(ConfigError::unsupported("private_key_provider"));
            }
            let chain = part(certificate.certificate_chain.as_ref(), "certificate_chain")?;
            let key = part(certificate.private_key.as_ref(), "private_key")?;
            let cert = WorkloadCert::from_pem(&chain, &key, now).map_err(ConfigError::new)?;
            Ok(CompiledSecret::Certificate(Box::new(cert)))
        }
        Some(Type::ValidationContext(context)) => {
            let roots = data(context.trusted_ca.as_ref()).field("trusted_ca")?.unwrap_or_default();
            let mut bundle = TrustBundle::from_pem(&roots).map_err(ConfigError::new).field("trusted_ca")?;
            if let Some(revoked) = data(context.crl.as_ref()).field("crl")? {
                bundle = bundle.with_revoked(&revoked).map_err(ConfigError::new).field("crl")?;
            }
            Ok(CompiledSecret::Roots(bundle))
        }
        Some(Type::SessionTicketKeys(_)) => {
            Err(ConfigError::unsupported("a secret with session_ticket_keys"))
        }
        Some(Type::GenericSecret(_)) => Err(ConfigError::unsupported("a generic_secret")),
        None => Err(ConfigError::new("a tls_certificate or validation_context is required")),
    }
}
