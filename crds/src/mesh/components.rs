//! Components of a mesh and the Kubernetes settings of each, as IstioOperator has them.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::DeploymentStrategy,
    autoscaling::v2::HorizontalPodAutoscalerSpec,
    core::v1::{Affinity, EnvVar, ResourceRequirements, ServiceSpec, Toleration},
    policy::v1::PodDisruptionBudgetSpec,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{DNS_LABEL, DNS_LABEL_OR_EMPTY};
use crate::{
    macros::{keywords, message},
    rules::cel,
};

message! {
    /// Control plane and gateways.
    pub struct Components {
        /// The control plane, deployed as `istiod`.
        pub pilot: Option<PilotComponent>,
        /// Gateways for traffic that enters the mesh. Those of the profile stay; list one by name to change it.
        #[schemars(extend("maxItems" = 64, "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["name", "namespace"]))]
        pub ingress_gateways: Vec<GatewayComponent>,
        /// Gateways for traffic that leaves the mesh. Those of the profile stay; list one by name to change it.
        #[schemars(extend("maxItems" = 64, "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["name", "namespace"]))]
        pub egress_gateways: Vec<GatewayComponent>,
    }

    /// The control plane.
    pub struct PilotComponent {
        /// Whether it is installed; as the profile says when absent.
        pub enabled: Option<bool>,
        /// Settings of its Kubernetes objects.
        pub k8s: Option<KubernetesOptions>,
    }

    /// A gateway.
    #[schemars(extend("required" = ["name"]))]
    pub struct GatewayComponent {
        /// Name of its Deployment, Service and service account.
        #[schemars(extend("maxLength" = 63, "pattern" = DNS_LABEL))]
        pub name: String,
        /// Namespace it runs in; that of the control plane when absent or empty.
        #[schemars(extend("x-default" = "", "maxLength" = 63, "pattern" = DNS_LABEL_OR_EMPTY))]
        pub namespace: Option<String>,
        /// Whether it is installed.
        #[schemars(extend("x-default" = true))]
        pub enabled: Option<bool>,
        /// Labels of its pods, by which Gateway objects select it; `app` and `istio` have defaults.
        pub label: BTreeMap<String, String>,
        /// Settings of its Kubernetes objects.
        pub k8s: Option<KubernetesOptions>,
    }

    /// Settings of a component's Kubernetes objects. What is absent is as the profile says.
    #[schemars(extend(
        "x-kubernetes-validations" = cel(&[
            ("!has(self.podDisruptionBudget) || !has(self.podDisruptionBudget.minAvailable) \
              || !has(self.podDisruptionBudget.maxUnavailable)",
             "podDisruptionBudget: minAvailable and maxUnavailable exclude each other"),
            ("!has(self.hpaSpec) || !has(self.hpaSpec.minReplicas) || !has(self.hpaSpec.maxReplicas) \
              || self.hpaSpec.minReplicas <= self.hpaSpec.maxReplicas",
             "hpaSpec: minReplicas can't be greater than maxReplicas"),
        ])
    ))]
    pub struct KubernetesOptions {
        /// Affinity of the pods.
        #[schemars(schema_with = "kubernetes::<Affinity>")]
        pub affinity: Option<Affinity>,
        /// Environment variables of the container.
        #[schemars(schema_with = "kubernetes::<Vec<EnvVar>>")]
        pub env: Vec<EnvVar>,
        /// Autoscaling; the target is filled in.
        #[schemars(schema_with = "kubernetes::<HorizontalPodAutoscalerSpec>")]
        pub hpa_spec: Option<HorizontalPodAutoscalerSpec>,
        /// When images are pulled.
        pub image_pull_policy: Option<ImagePullPolicy>,
        /// Labels of the nodes that may run the pods.
        pub node_selector: BTreeMap<String, String>,
        /// Annotations of the pods.
        pub pod_annotations: BTreeMap<String, String>,
        /// How many pods may be missing; the selector is filled in.
        #[schemars(schema_with = "kubernetes::<PodDisruptionBudgetSpec>")]
        pub pod_disruption_budget: Option<PodDisruptionBudgetSpec>,
        /// Priority class of the pods.
        pub priority_class_name: Option<String>,
        /// Number of pods, when not scaled automatically.
        #[schemars(extend("minimum" = 0, "maximum" = 1000))]
        pub replica_count: Option<i32>,
        /// Resources of the container.
        #[schemars(schema_with = "kubernetes::<ResourceRequirements>")]
        pub resources: Option<ResourceRequirements>,
        /// The Service; selector and missing ports are filled in.
        #[schemars(schema_with = "kubernetes::<ServiceSpec>")]
        pub service: Option<ServiceSpec>,
        /// Annotations of the Service.
        pub service_annotations: BTreeMap<String, String>,
        /// How pods are replaced.
        #[schemars(schema_with = "kubernetes::<DeploymentStrategy>")]
        pub strategy: Option<DeploymentStrategy>,
        /// Taints that the pods tolerate.
        #[schemars(schema_with = "kubernetes::<Vec<Toleration>>")]
        pub tolerations: Vec<Toleration>,
    }
}

keywords! {
    /// When images are pulled.
    pub enum ImagePullPolicy {
        /// When the node doesn't have them.
        IfNotPresent = "IfNotPresent",
        /// At each start.
        Always = "Always",
        /// Not at all.
        Never = "Never",
    }
}

impl GatewayComponent {
    /// Whether it is installed: a gateway that is listed is, unless it says otherwise.
    pub fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// Namespace it runs in, when the control plane runs in `own`.
    pub fn namespace<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(own)
    }
}

/// The schema of a Kubernetes type whose required fields the operator fills in, without its long descriptions.
fn kubernetes<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    crate::definition::relax(&mut schema);
    schema
}
