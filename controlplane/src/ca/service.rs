//! `istio.v1.auth.IstioCertificateService`: a CSR and proof of identity in, a certificate out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use model::Mesh;
use pki::api::{IstioCertificateRequest, IstioCertificateResponse, IstioCertificateService};
use pki::{PkiError, SpiffeId};
use tonic::{Request, Response, Status};

use super::Authority;
use crate::auth::Authenticator;
use crate::monitor::Metrics;
use crate::serve::Peer;

/// Validities of what is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) default: Duration,
    pub(crate) max: Duration,
}

/// The gRPC service.
pub(crate) struct CaService {
    pub(crate) authority: Arc<Authority>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    pub(crate) validity: Validity,
    pub(crate) metrics: Arc<Metrics>,
}

#[tonic::async_trait]
impl IstioCertificateService for CaService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.metrics.csr_count.inc();
        let peer =
            request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("peer is unknown"))?;
        let mesh = self.mesh.load_full();
        let caller = self.authenticator.caller(&peer, request.metadata(), mesh.trust_domain()).await;
        let caller = caller.inspect_err(|error| {
            self.metrics.csr_authentication_failures.inc();
            tracing::warn!(address = %peer.address, %error, "certificate refused");
        })?;
        let id =
            SpiffeId::for_service_account(mesh.trust_domain(), &caller.namespace, &caller.service_account);
        let id = id.map_err(|e| Status::invalid_argument(e.to_string()))?;
        let ttl = self.ttl(request.get_ref().validity_duration)?;
        let signed = self.authority.ca().sign(&request.get_ref().csr, &id, Some(ttl), SystemTime::now());
        let cert_chain = signed.map_err(|error| {
            tracing::warn!(address = %peer.address, %caller, %error, "certificate refused");
            self.refusal(&error)
        })?;
        self.metrics.certificates_issued.inc();
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

impl CaService {
    fn ttl(&self, seconds: i64) -> Result<Duration, Status> {
        let asked = match u64::try_from(seconds) {
            Ok(0) => self.validity.default,
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => return Err(Status::invalid_argument("validity_duration is negative")),
        };
        if asked > self.validity.max {
            let limit = self.validity.max.as_secs();
            let message =
                format!("validity_duration {} is more than the {limit} seconds allowed", asked.as_secs());
            return Err(Status::invalid_argument(message));
        }
        Ok(asked)
    }

    fn refusal(&self, error: &PkiError) -> Status {
        let message = error.to_string();
        match error {
            PkiError::ForeignIdentity { .. } => {
                self.metrics.csr_id_errors.inc();
                Status::permission_denied(message)
            }
            PkiError::Csr(_)
            | PkiError::Pem { .. }
            | PkiError::TooLarge { .. }
            | PkiError::TtlTooLong { .. } => {
                self.metrics.csr_parse_errors.inc();
                Status::invalid_argument(message)
            }
            PkiError::CaExpired(_) => {
                self.metrics.csr_sign_errors.inc();
                Status::failed_precondition(message)
            }
            _ => {
                self.metrics.csr_sign_errors.inc();
                Status::internal(message)
            }
        }
    }
}
