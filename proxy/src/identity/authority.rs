//! Asks the mesh's CA for a certificate: `istio.v1.auth.IstioCertificateService`.
//!
//! In: the bootstrap's [`Authority`] and the SPIFFE id. Out: a certificate with its key, and the roots to trust. Each request
//! makes a new key, reads token and roots again, and uses a connection of its own.

use std::path::Path;
use std::time::{Duration, SystemTime};

use pki::api::{IstioCertificateRequest, IstioCertificateServiceClient};
use pki::{Identity, SpiffeId, TrustBundle, WorkloadCert};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tonic::metadata::{Ascii, MetadataValue};

use super::channel::{ChannelError, Target, connect};
use crate::bootstrap::Authority;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    /// A file can't be read.
    #[error("cannot read {what} {path}: {source}")]
    File {
        /// What it is for.
        what: &'static str,
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No connection.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The CA said no.
    #[error("the CA at {address} refused the certificate request: {code:?}: {message}{hint}")]
    Refused {
        /// Which CA.
        address: String,
        /// gRPC code.
        code: tonic::Code,
        /// What it said.
        message: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The CA took too long.
    #[error("the CA at {0} did not answer within {REQUEST_TIMEOUT:?}")]
    Timeout(String),
    /// Keys or certificates that don't work.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// A certificate for somebody else.
    #[error("the CA issued a certificate for {issued:?}, but this workload is {wanted}")]
    ForeignIdentity {
        /// Who it is for.
        issued: Option<SpiffeId>,
        /// Who we are.
        wanted: SpiffeId,
    },
}

/// A fresh certificate and the roots that came with it.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) cert: WorkloadCert,
    pub(super) roots: TrustBundle,
}

/// The client of one CA.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) authority: Authority,
    pub(super) id: SpiffeId,
    pub(super) cluster_id: Option<String>,
    pub(super) packet_mark: Option<u32>,
}

impl Client {
    /// One attempt. `current` is what we have already; its certificate is presented, should the token be gone.
    pub(super) async fn request(&self, current: &Identity) -> Result<Issued, AuthorityError> {
        let (key, csr) = pki::new_csr(&self.id)?;
        let mounted = self.mounted_roots().await?;
        let identity = Identity::roots_only(mounted.clone());
        if let Some(cert) = current.cert().filter(|cert| !cert.is_expired(SystemTime::now())) {
            identity.set_cert(cert);
        }
        let target = Target {
            address: self.authority.address.clone(),
            identity: (!self.authority.plaintext).then_some(identity),
            server_name: self.authority.server_name.clone(),
            packet_mark: self.packet_mark,
        };
        let request = self.with_credentials(IstioCertificateRequest {
            csr,
            validity_duration: self.authority.ttl.as_secs() as i64,
            metadata: None,
        });
        let mut client = IstioCertificateServiceClient::new(connect(&target).await?);
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, client.create_certificate(request.await)).await;
        let answer = answer.map_err(|_| AuthorityError::Timeout(self.authority.address.clone()))?;
        let chain = answer.map_err(|status| self.refused(&status))?.into_inner().cert_chain.concat();
        let cert = WorkloadCert::from_pem(chain.as_bytes(), key.to_pem().as_bytes(), SystemTime::now())?;
        if cert.id() != Some(&self.id) {
            return Err(AuthorityError::ForeignIdentity {
                issued: cert.id().cloned(),
                wanted: self.id.clone(),
            });
        }
        Ok(Issued { roots: roots_of(&chain, &cert)?.merged(&mounted)?, cert })
    }

    /// The roots in the mounted file, which are there before any certificate is and follow a rotation of the CA.
    pub(super) async fn mounted_roots(&self) -> Result<TrustBundle, AuthorityError> {
        let pem = read("root certificates", &self.authority.root_file).await?;
        Ok(TrustBundle::from_pem(&pem)?)
    }

    async fn with_credentials<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(value) = bearer(&self.authority.token_file).await {
            request.metadata_mut().insert("authorization", value);
        }
        if let Some(cluster) = self.cluster_id.as_deref().and_then(|id| id.parse().ok()) {
            request.metadata_mut().insert("clusterid", cluster);
        }
        request
    }

    fn refused(&self, status: &tonic::Status) -> AuthorityError {
        let hint = match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
                "; check the projected token (audience istio-ca) and the pod's service account"
            }
            _ => "",
        };
        AuthorityError::Refused {
            address: self.authority.address.clone(),
            code: status.code(),
            message: status.message().to_owned(),
            hint,
        }
    }
}

/// The header that says who we are, from the token as it is now: the kubelet rotates it. None without a usable file.
pub(crate) async fn bearer(token_file: &Path) -> Option<MetadataValue<Ascii>> {
    let token = tokio::fs::read_to_string(token_file).await.ok()?;
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The self-signed certificates at the end of a CA's answer, which are no part of what we present.
fn roots_of(answer: &str, cert: &WorkloadCert) -> Result<TrustBundle, pki::PkiError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(answer.as_bytes()).flatten().collect();
    TrustBundle::from_der(all.into_iter().skip(cert.chain().len()))
}

async fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, AuthorityError> {
    let failed = |source| AuthorityError::File { what, path: path.display().to_string(), source };
    tokio::fs::read(path).await.map_err(failed)
}

/// What `renew` needs to know about a failure, without its type.
impl AuthorityError {
    /// With all its causes.
    pub(super) fn describe(&self) -> String {
        super::channel::chain(self)
    }
}
