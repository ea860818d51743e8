//! Who we are: a key, a certificate signed by the mesh's CA, and the roots that peers are verified against.
//!
//! In: the [`CertificateSource`](crate::bootstrap::CertificateSource) of the bootstrap. Out: the secrets `default` and `ROOTCA` in
//! [`Secrets`], renewed at half of their life for as long as the process runs, and [`Health`] for readiness and metrics.
//! `main` starts [`run`] on the control thread before anything else; `subscribe` adds the secrets of gateways.

mod authority;
mod channel;
mod files;
mod health;
mod named;
mod renew;
mod secrets;

pub(crate) use authority::bearer;
pub(crate) use channel::over;
pub use channel::{Channel, ChannelError, Target, connect};
pub use health::{Health, Report};
pub(crate) use named::{FileSecrets, with_revoked};
pub use renew::{Renewal, run};
pub use secrets::{Secrets, TlsNames};
