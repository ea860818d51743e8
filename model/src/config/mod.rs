//! Istio's kinds as values: short names resolved, selectors ready, everything else as written.

pub(crate) mod access_log;
pub(crate) mod delegate;
mod destination_rule;
mod gateway;
pub(crate) mod ingress;
mod peer_authentication;
mod service_entry;
mod settings;
mod sidecar;
mod virtual_service;

use crate::value::Meta;

pub use access_log::AccessLog;
pub use destination_rule::{DestinationRule, MergedRule};
pub use gateway::{Gateway, ServerHost};
pub use ingress::IngressSettings;
pub use peer_authentication::{MutualTlsMode, PeerAuthentication};
pub use service_entry::{Addressing, HostAddress, ServiceEntry, WorkloadEntry};
pub use settings::{OutboundMode, Settings};
pub use sidecar::{EgressHost, EgressListener, EgressNamespace, Sidecar, SidecarPort};
pub use virtual_service::VirtualService;

/// Configuration that has a name and an age.
pub trait Configured {
    /// Identity and age.
    fn meta(&self) -> &Meta;
}

macro_rules! configured {
    ($($kind:ty),*) => {$(
        impl Configured for $kind {
            fn meta(&self) -> &Meta {
                &self.meta
            }
        }
    )*};
}
configured!(
    DestinationRule,
    Gateway,
    PeerAuthentication,
    ServiceEntry,
    Sidecar,
    VirtualService,
    WorkloadEntry
);
