//! `mesh.trysail.dev`: MeshInstall, the one object a person writes to get a mesh.
//! Written by people and `trysailctl install`, read by the operator.

mod components;
mod review;
mod status;

use serde_json::{Map, Value};

pub use self::{components::*, review::review, status::*};
use crate::{
    macros::{keywords, kind, message},
    rules::cel,
};

kind! {
    /// A mesh: control plane, gateways and their settings. Cluster-scoped.
    MeshInstall {
        spec: MeshInstallSpec, status: MeshInstallStatus, group: "mesh.trysail.dev", version: "v1alpha1",
        plural: "meshinstalls", scope: ClusterResourceScope
    }
}

message! {
    /// What is installed, and how.
    ///
    /// Unknown fields reach the operator and its admission webhook (the server keeps them, however deep they are),
    /// which refuse them with the name that was probably meant.
    pub struct MeshInstallSpec {
        /// What is installed unless said otherwise: `default` (control plane, ingress gateway), `demo` (also an
        /// egress gateway, access logs, all requests traced, small requests for resources), `minimal` (control
        /// plane only), `empty` (nothing).
        #[schemars(extend("x-default" = "default"))]
        pub profile: Option<Profile>,
        /// Registry and path of the images.
        #[schemars(extend("x-default" = DEFAULT_HUB, "minLength" = 1, "maxLength" = 255))]
        pub hub: Option<String>,
        /// Tag of the images; that of the operator's own version when absent.
        #[schemars(extend("minLength" = 1, "maxLength" = 128, "pattern" = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"))]
        pub tag: Option<String>,
        /// Namespace of the control plane. It is created when missing and can't change later.
        #[schemars(extend("x-default" = DEFAULT_NAMESPACE, "maxLength" = 63, "pattern" = DNS_LABEL,
            "x-kubernetes-validations" = cel(&[(
                "self == oldSelf",
                "the namespace of a mesh can't change; delete the MeshInstall and create another",
            )])))]
        pub namespace: Option<String>,
        /// Name of this control plane among several; pods choose it by the label `istio.io/rev`.
        #[schemars(extend("maxLength" = 56, "pattern" = DNS_LABEL_OR_EMPTY))]
        pub revision: Option<String>,
        /// Mesh-wide settings, written to ConfigMap `istio`; Istio's MeshConfig.
        pub mesh_config: Map<String, Value>,
        /// Helm values as IstioOperator takes them.
        pub values: Map<String, Value>,
        /// Control plane and gateways, one by one.
        pub components: Option<Components>,
    }
}

keywords! {
    /// A ready-made set of components and settings.
    pub enum Profile {
        /// Control plane and ingress gateway.
        Default = "default",
        /// Everything on, for a first look.
        Demo = "demo",
        /// Control plane only.
        Minimal = "minimal",
        /// Nothing that isn't switched on.
        Empty = "empty",
    }
}

/// Registry and path of the images when `hub` is absent.
pub const DEFAULT_HUB: &str = "docker.io/trysail";
/// Namespace of the control plane when `namespace` is absent.
pub const DEFAULT_NAMESPACE: &str = "istio-system";
const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const DNS_LABEL_OR_EMPTY: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$";

impl MeshInstallSpec {
    /// The profile, `default` when absent.
    pub fn profile(&self) -> Profile {
        match self.profile.unwrap_or_default() {
            Profile::Unrecognized => Profile::Default,
            profile => profile,
        }
    }

    /// Registry and path of the images.
    pub fn hub(&self) -> &str {
        self.hub.as_deref().unwrap_or(DEFAULT_HUB)
    }

    /// Namespace of the control plane.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }

    /// The revision; `None` when absent or empty.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref().filter(|name| !name.is_empty())
    }
}
