//! Names that users, dashboards and GitOps tools know, and the labels by which the operator knows its own objects.

/// Name of the chart's objects: ClusterRole, Deployment, Service, and of what belongs with them.
pub(crate) const OPERATOR: &str = "trysail-operator";
/// Field manager of everything that is applied.
pub const FIELD_MANAGER: &str = "trysail-operator";
/// Holds a MeshInstall until everything it made is gone.
pub const FINALIZER: &str = "mesh.trysail.dev/uninstall";
/// Label of every object: the MeshInstall it belongs to.
pub const OWNER: &str = "mesh.trysail.dev/owner";
/// Label of a gateway's pods that never changes, unlike those a person may choose.
pub(crate) const GATEWAY: &str = "mesh.trysail.dev/gateway";
/// Label of every object: the component it belongs to, in istioctl's words.
pub const COMPONENT: &str = "operator.istio.io/component";
/// Label: the revision of the control plane.
pub const REVISION: &str = "istio.io/rev";

/// The root certificate that the control plane writes into every namespace.
pub const ROOT_CONFIG_MAP: &str = "istio-ca-root-cert";
/// The CA that the control plane made.
pub const CA_SECRET: &str = "istio-ca-secret";
/// The Lease by which replicas of the control plane agree on a writer.
pub const LEASE: &str = "istio-leader";

/// User and group id of everything we run.
pub(crate) const USER: i64 = 1337;

/// A part of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Namespaces.
    Base,
    /// The control plane.
    Pilot,
    /// Gateways for traffic that enters the mesh.
    IngressGateways,
    /// Gateways for traffic that leaves the mesh.
    EgressGateways,
}

impl Component {
    /// As istioctl writes it into labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "Base",
            Self::Pilot => "Pilot",
            Self::IngressGateways => "IngressGateways",
            Self::EgressGateways => "EgressGateways",
        }
    }
}
