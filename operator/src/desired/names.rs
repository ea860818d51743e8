//! Names and labels of what the operator makes: those that Istio's users, dashboards and tools know.

use std::collections::BTreeMap;

/// The label that says which MeshInstall an object belongs to; pruning goes by it.
pub const INSTALL_LABEL: &str = "mesh.trysail.dev/install";
/// The label that says who manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager.
pub const OPERATOR: &str = "trysail-operator";

/// Names that depend on namespace and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Namespace of the control plane.
    pub namespace: String,
    /// Revision; `default` for the one without a name.
    pub revision: String,
    /// `-REVISION`, or nothing.
    suffix: String,
}

impl Names {
    /// Names in `namespace`, for a revision or the default one.
    pub fn new(namespace: &str, revision: Option<&str>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            revision: revision.unwrap_or("default").to_owned(),
            suffix: revision.map(|revision| format!("-{revision}")).unwrap_or_default(),
        }
    }

    /// `istiod`: Deployment, Service, service account, disruption budget.
    pub fn istiod(&self) -> String {
        format!("istiod{}", self.suffix)
    }

    /// `istiod-NAMESPACE`: cluster roles.
    pub fn istiod_cluster_role(&self) -> String {
        format!("istiod{}-{}", self.suffix, self.namespace)
    }

    /// `istio`: ConfigMap with the MeshConfig.
    pub fn mesh_config_map(&self) -> String {
        format!("istio{}", self.suffix)
    }

    /// `istio-sidecar-injector`: ConfigMap and MutatingWebhookConfiguration.
    pub fn injector(&self) -> String {
        format!("istio-sidecar-injector{}", self.suffix)
    }

    /// `istio-validator-NAMESPACE`: ValidatingWebhookConfiguration.
    pub fn validator(&self) -> String {
        format!("istio-validator{}-{}", self.suffix, self.namespace)
    }

    /// The DNS name of the control plane's Service.
    pub fn istiod_host(&self) -> String {
        format!("{}.{}.svc", self.istiod(), self.namespace)
    }

    /// Labels of every object of the MeshInstall `install`.
    pub fn labels(&self, install: &str) -> BTreeMap<String, String> {
        let pairs = [(INSTALL_LABEL, install), (MANAGED_BY, OPERATOR), ("istio.io/rev", &self.revision)];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_part_of_every_name() {
        let names = Names::new("istio-system", Some("canary"));
        assert_eq!(names.istiod(), "istiod-canary");
        assert_eq!(names.mesh_config_map(), "istio-canary");
        assert_eq!(names.injector(), "istio-sidecar-injector-canary");
        assert_eq!(Names::new("istio-system", None).istiod_host(), "istiod.istio-system.svc");
    }
}
