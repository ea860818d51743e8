//! The mesh: an immutable value, cheap to clone, sharing with its predecessor whatever did not change.
//!
//! The store makes it. `translate`, the debug endpoints and `trysailctl` read it. Questions that need precedence
//! are answered in `lookup`.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use ipnet::IpNet;

use crate::config::{
    DestinationRule, Gateway, MergedRule, PeerAuthentication, ServiceEntry, Settings, Sidecar,
    VirtualService, WorkloadEntry,
};
use crate::kube::{Ingress, Namespace, Secret};
use crate::value::{Endpoints, NamespacedName, Service, ServiceKey, Text, Workload};

/// Objects of one kind under one index key, oldest first.
pub type Aged<T> = Arc<[Arc<T>]>;

/// Everything the control plane knows, at one moment.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// Differs between any two meshes that differ, within one process.
    pub version: u64,
    /// DNS domain of the cluster.
    pub domain: Text,
    /// Name of the cluster, for telemetry.
    pub cluster_id: Text,
    /// Mesh-wide settings.
    pub settings: Arc<Settings>,
    /// Namespaces by name.
    pub namespaces: OrdMap<Text, Arc<Namespace>>,
    /// Namespaces that the mesh looks at; none means all.
    pub discovered: Option<OrdSet<Text>>,
    /// Services, ordered by host, then namespace.
    pub services: OrdMap<ServiceKey, Arc<Service>>,
    /// Endpoints of services. A service without an entry has none.
    pub endpoints: OrdMap<ServiceKey, Arc<Endpoints>>,
    /// Hosts of the services of a namespace.
    pub services_in: OrdMap<Text, OrdSet<ServiceKey>>,
    /// Services that declare a port to be HTTP.
    pub http_on: OrdMap<u16, OrdSet<ServiceKey>>,
    /// Services that have a port without declaring it to be HTTP.
    pub opaque_on: OrdMap<u16, OrdSet<ServiceKey>>,
    /// Hosts of services that are not Kubernetes' (`<name>.<namespace>.svc.<domain>`), with the number of services.
    pub foreign_hosts: OrdMap<Text, usize>,
    /// Services that have an address or range.
    pub services_at: OrdMap<IpNet, OrdSet<ServiceKey>>,
    /// Workloads by pod name.
    pub workloads: OrdMap<NamespacedName, Arc<Workload>>,
    /// All VirtualServices.
    pub virtual_services: OrdMap<NamespacedName, Arc<VirtualService>>,
    /// VirtualServices that apply to sidecars, by host as written (wildcards included).
    pub mesh_routes: OrdMap<Text, Aged<VirtualService>>,
    /// VirtualServices by the Gateway that they are bound to.
    pub gateway_routes: OrdMap<NamespacedName, Aged<VirtualService>>,
    /// VirtualServices that send requests to a host.
    pub routes_to: OrdMap<Text, OrdSet<NamespacedName>>,
    /// DestinationRules by namespace and host as written, merged where they are for the same host.
    pub destination_rules: OrdMap<Text, OrdMap<Text, Aged<MergedRule>>>,
    /// Gateways.
    pub gateways: OrdMap<NamespacedName, Arc<Gateway>>,
    /// Sidecars by namespace.
    pub sidecars: OrdMap<Text, Aged<Sidecar>>,
    /// PeerAuthentications by namespace.
    pub peer_authentications: OrdMap<Text, Aged<PeerAuthentication>>,
    /// Ingress objects that the mesh serves; what they come to is among the Gateways and VirtualServices.
    pub ingresses: OrdMap<NamespacedName, Arc<Ingress>>,
    /// Secrets with certificates.
    pub secrets: OrdMap<NamespacedName, Arc<Secret>>,
    /// Namespaces whose Secrets are all known, `*` for every one; those of others may exist without being here.
    pub secrets_known: OrdSet<Text>,
    /// Objects as they were written.
    pub written: Written,
    /// Label keys that selectors of sidecars' objects use, with the number of their users.
    pub sidecar_label_keys: OrdMap<Text, usize>,
    /// Label keys that Gateways' selectors use, with the number of their users.
    pub gateway_label_keys: OrdMap<Text, usize>,
}

/// Objects as they were written, where the mesh itself holds what they come to: roots and delegates apart, rules before
/// they are merged, VirtualServices that wait. For answers about the objects; nothing that is sent is made from it.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// VirtualServices.
    pub virtual_services: OrdMap<NamespacedName, Arc<VirtualService>>,
    /// VirtualServices that name a delegate.
    pub roots: OrdMap<NamespacedName, Arc<VirtualService>>,
    /// VirtualServices without hosts, which others delegate to.
    pub delegates: OrdMap<NamespacedName, Arc<VirtualService>>,
    /// DestinationRules.
    pub destination_rules: OrdMap<NamespacedName, Arc<DestinationRule>>,
    /// DestinationRules by namespace and host.
    pub rules_of: OrdMap<(Text, Text), Aged<DestinationRule>>,
    /// ServiceEntries.
    pub service_entries: OrdMap<NamespacedName, Arc<ServiceEntry>>,
    /// WorkloadEntries.
    pub workload_entries: OrdMap<NamespacedName, Arc<WorkloadEntry>>,
}

/// The objects of a namespace, in order of names.
pub(crate) fn of_namespace<'m, T>(
    map: &'m OrdMap<NamespacedName, T>,
    namespace: &Text,
) -> impl Iterator<Item = &'m T> + use<'m, T> {
    let namespace = namespace.clone();
    let from = NamespacedName { namespace: namespace.clone(), name: crate::intern("") };
    map.range(from..).take_while(move |(name, _)| name.namespace == namespace).map(|(_, one)| one)
}

impl Mesh {
    /// A mesh of nothing.
    pub fn empty(domain: &str, cluster_id: &str) -> Self {
        Self {
            version: 0,
            domain: crate::intern(domain),
            cluster_id: crate::intern(cluster_id),
            settings: Arc::default(),
            namespaces: OrdMap::new(),
            discovered: None,
            services: OrdMap::new(),
            endpoints: OrdMap::new(),
            services_in: OrdMap::new(),
            http_on: OrdMap::new(),
            opaque_on: OrdMap::new(),
            foreign_hosts: OrdMap::new(),
            services_at: OrdMap::new(),
            workloads: OrdMap::new(),
            virtual_services: OrdMap::new(),
            mesh_routes: OrdMap::new(),
            gateway_routes: OrdMap::new(),
            routes_to: OrdMap::new(),
            destination_rules: OrdMap::new(),
            gateways: OrdMap::new(),
            sidecars: OrdMap::new(),
            peer_authentications: OrdMap::new(),
            ingresses: OrdMap::new(),
            secrets: OrdMap::new(),
            secrets_known: OrdSet::new(),
            written: Written::default(),
            sidecar_label_keys: OrdMap::new(),
            gateway_label_keys: OrdMap::new(),
        }
    }

    /// Services that have a host, in the order of their namespaces.
    pub fn services_of<'m>(&'m self, host: &Text) -> impl Iterator<Item = &'m Arc<Service>> + use<'m> {
        let host = host.clone();
        let from = self.services.range(ServiceKey::first(&host)..).map(|(_, service)| service);
        from.take_while(move |service| service.key.host == host)
    }

    /// Whether a Secret of a namespace that is not here does not exist.
    pub fn knows_secrets(&self, namespace: &str) -> bool {
        [namespace, "*"].iter().any(|name| self.secrets_known.contains(*name))
    }

    /// Keys of the services that have a port.
    pub fn services_on(&self, port: u16) -> impl Iterator<Item = &ServiceKey> {
        self.http_on.get(&port).into_iter().chain(self.opaque_on.get(&port)).flatten()
    }

    /// The trust domain of the mesh's identities.
    pub fn trust_domain(&self) -> &str {
        &self.settings.trust_domain
    }

    /// The SPIFFE id of a service account.
    pub fn identity(&self, namespace: &str, service_account: &str) -> String {
        format!("spiffe://{}/ns/{namespace}/sa/{service_account}", self.trust_domain())
    }
}
