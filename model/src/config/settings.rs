//! Mesh-wide settings, with what is read most ready to use.

use crds::mesh_config::{MeshConfig, MeshH2UpgradePolicy, MeshOutboundMode};

use super::AccessLog;
use crate::value::{ExportTo, Text, intern};

/// What happens to outbound traffic to destinations that no service declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutboundMode {
    /// It goes where the app sent it.
    #[default]
    AllowAny,
    /// It is refused.
    RegistryOnly,
}

impl OutboundMode {
    /// By its name in MeshConfig and Sidecar.
    pub fn from_name(name: &str) -> Self {
        if name == "REGISTRY_ONLY" { Self::RegistryOnly } else { Self::AllowAny }
    }
}

/// Settings of the whole mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// As written.
    pub config: MeshConfig,
    /// Trust domain of identities.
    pub trust_domain: Text,
    /// Namespace whose policies are mesh-wide.
    pub root_namespace: Text,
    /// Access log, if on.
    pub access_log: Option<AccessLog>,
    /// What happens to traffic to unknown destinations.
    pub outbound: OutboundMode,
    /// HTTP/1.1 is carried as HTTP/2 to peers in the mesh, by Envoys too.
    pub h2_upgrade: bool,
    /// Who sees a Service that does not say.
    pub service_export: ExportTo,
    /// Who sees a VirtualService that does not say.
    pub virtual_service_export: ExportTo,
    /// Who sees a DestinationRule that does not say.
    pub destination_rule_export: ExportTo,
}

/// The namespace of the control plane where nothing else is said.
const DEFAULT_ROOT_NAMESPACE: &str = "istio-system";

impl Settings {
    /// From the mesh's configuration.
    pub fn new(config: MeshConfig) -> Self {
        let export = |entries: &[String]| ExportTo::parse(entries, "").unwrap_or_default();
        Self {
            trust_domain: intern(config.trust_domain()),
            root_namespace: intern(config.root_namespace(DEFAULT_ROOT_NAMESPACE)),
            access_log: AccessLog::of(&config),
            outbound: match config.outbound_mode() {
                MeshOutboundMode::RegistryOnly => OutboundMode::RegistryOnly,
                _ => OutboundMode::AllowAny,
            },
            h2_upgrade: config.h2_upgrade_policy == Some(MeshH2UpgradePolicy::Upgrade),
            service_export: export(&config.default_service_export_to),
            virtual_service_export: export(&config.default_virtual_service_export_to),
            destination_rule_export: export(&config.default_destination_rule_export_to),
            config,
        }
    }

    /// Port that captured outbound connections arrive at.
    pub fn outbound_port(&self) -> u16 {
        port(self.config.proxy_listen_port, 15001)
    }

    /// Port that captured inbound connections arrive at.
    pub fn inbound_port(&self) -> u16 {
        port(self.config.proxy_inbound_listen_port, 15006)
    }
}

fn port(written: Option<i32>, default: u16) -> u16 {
    written.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(default)
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(MeshConfig::default())
    }
}
