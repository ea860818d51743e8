//! The kinds of objects that the operator makes, and when each goes.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of objects.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural, lower case.
    pub plural: &'static str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl Kind {
    const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self { group, version, kind, plural, namespaced: true }
    }

    const fn in_cluster(self) -> Self {
        Self { namespaced: false, ..self }
    }

    /// As kube's dynamic API wants it.
    pub fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Every kind that the operator makes.
pub const KINDS: &[Kind] = &[
    Kind::new(ADMISSION, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations").in_cluster(),
    Kind::new(ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations")
        .in_cluster(),
    Kind::new("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind::new("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind::new("apps", "v1", "Deployment", "deployments"),
    Kind::new("", "v1", "Service", "services"),
    Kind::new(RBAC, "v1", "RoleBinding", "rolebindings"),
    Kind::new(RBAC, "v1", "Role", "roles"),
    Kind::new(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings").in_cluster(),
    Kind::new(RBAC, "v1", "ClusterRole", "clusterroles").in_cluster(),
    Kind::new("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind::new("", "v1", "ConfigMap", "configmaps"),
    Kind::new("", "v1", "Namespace", "namespaces").in_cluster(),
];

/// Kinds whose objects keep a namespace from being deleted with a mesh, besides [`KINDS`].
pub const FOREIGN_KINDS: &[Kind] = &[
    Kind::new("", "v1", "Pod", "pods"),
    Kind::new("", "v1", "Secret", "secrets"),
    Kind::new("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind::new("apps", "v1", "StatefulSet", "statefulsets"),
    Kind::new("apps", "v1", "DaemonSet", "daemonsets"),
    Kind::new("batch", "v1", "Job", "jobs"),
    Kind::new("batch", "v1", "CronJob", "cronjobs"),
    Kind::new("networking.k8s.io", "v1", "Ingress", "ingresses"),
    Kind::new("networking.istio.io", "v1", "VirtualService", "virtualservices"),
    Kind::new("networking.istio.io", "v1", "DestinationRule", "destinationrules"),
    Kind::new("networking.istio.io", "v1", "Gateway", "gateways"),
    Kind::new("networking.istio.io", "v1", "ServiceEntry", "serviceentries"),
    Kind::new("networking.istio.io", "v1", "Sidecar", "sidecars"),
    Kind::new("networking.istio.io", "v1", "WorkloadEntry", "workloadentries"),
    Kind::new("security.istio.io", "v1", "PeerAuthentication", "peerauthentications"),
];

/// A kind by its API version and name.
pub fn kind_of(api_version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|known| known.kind == kind && known.api_version() == api_version)
}
