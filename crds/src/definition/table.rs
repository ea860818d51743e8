//! The table of kinds: what `kubectl` calls them, which versions are served, which columns it shows.

use super::{Column, Definition, schema_of};
use crate::{mesh, meta, networking, security};

const NETWORKING: &[&str] = &["v1", "v1alpha3", "v1beta1"];
const NETWORKING_CATEGORIES: &[&str] = &["istio-io", "networking-istio-io"];

const AGE: Column = Column {
    name: "Age",
    kind: "date",
    path: ".metadata.creationTimestamp",
    description: "Time since creation",
};

const fn text(name: &'static str, path: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", path, description }
}

/// Every kind whose CustomResourceDefinition Trysail installs.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        kind: "MeshInstall",
        group: "mesh.trysail.dev",
        versions: &["v1alpha1"],
        plural: "meshinstalls",
        short_names: &["mi"],
        categories: &["trysail"],
        namespaced: false,
        columns: &[
            text("Profile", ".spec.profile", "What is installed unless said otherwise"),
            text("Revision", ".spec.revision", "Name of the control plane among several"),
            text("Version", ".status.version", "Version that is installed"),
            text("Ready", ".status.conditions[?(@.type==\"Ready\")].status", "Whether everything is ready"),
            text("Reason", ".status.conditions[?(@.type==\"Ready\")].reason", "Why it is, or isn't, ready"),
            AGE,
        ],
        spec_required: false,
        keeps_unknown_fields: true,
        spec: schema_of::<mesh::MeshInstallSpec>,
        status: schema_of::<mesh::MeshInstallStatus>,
    },
    Definition {
        kind: "VirtualService",
        plural: "virtualservices",
        short_names: &["vs"],
        columns: &[
            text("Gateways", ".spec.gateways", "Gateways and sidecars that apply the routes"),
            text("Hosts", ".spec.hosts", "Hosts whose traffic is routed"),
            AGE,
        ],
        spec: schema_of::<networking::VirtualServiceSpec>,
        ..NETWORKING_KIND
    },
    Definition {
        kind: "DestinationRule",
        plural: "destinationrules",
        short_names: &["dr"],
        columns: &[text("Host", ".spec.host", "Host the policies are for"), AGE],
        spec: schema_of::<networking::DestinationRuleSpec>,
        ..NETWORKING_KIND
    },
    Definition {
        kind: "Gateway",
        plural: "gateways",
        short_names: &["gw"],
        spec: schema_of::<networking::GatewaySpec>,
        ..NETWORKING_KIND
    },
    Definition {
        kind: "ServiceEntry",
        plural: "serviceentries",
        short_names: &["se"],
        columns: &[
            text("Hosts", ".spec.hosts", "Names of the service"),
            text("Location", ".spec.location", "Whether the service belongs to the mesh"),
            text("Resolution", ".spec.resolution", "How endpoints are found"),
            AGE,
        ],
        spec_required: true,
        spec: schema_of::<networking::ServiceEntrySpec>,
        status: schema_of::<networking::ServiceEntryStatus>,
        ..NETWORKING_KIND
    },
    Definition {
        kind: "Sidecar",
        plural: "sidecars",
        spec: schema_of::<networking::SidecarSpec>,
        ..NETWORKING_KIND
    },
    Definition {
        kind: "WorkloadEntry",
        plural: "workloadentries",
        short_names: &["we"],
        columns: &[AGE, text("Address", ".spec.address", "Address of the workload")],
        spec_required: true,
        spec: schema_of::<networking::WorkloadEntrySpec>,
        ..NETWORKING_KIND
    },
    Definition {
        kind: "PeerAuthentication",
        group: "security.istio.io",
        versions: &["v1", "v1beta1"],
        plural: "peerauthentications",
        short_names: &["pa"],
        categories: &["istio-io", "security-istio-io"],
        columns: &[text("Mode", ".spec.mtls.mode", "Mode of mutual TLS"), AGE],
        spec: schema_of::<security::PeerAuthenticationSpec>,
        ..NETWORKING_KIND
    },
];

/// What most kinds of `networking.istio.io` have in common.
const NETWORKING_KIND: Definition = Definition {
    kind: "",
    group: "networking.istio.io",
    versions: NETWORKING,
    plural: "",
    short_names: &[],
    categories: NETWORKING_CATEGORIES,
    namespaced: true,
    columns: &[],
    spec_required: false,
    keeps_unknown_fields: false,
    spec: schema_of::<()>,
    status: schema_of::<meta::IstioStatus>,
};
