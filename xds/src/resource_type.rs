//! The types of resources that travel on a stream, and the order in which they may be sent.

use std::fmt;

use crate::names::type_url;

/// A resource type of the Aggregated Discovery Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// CDS
    Cluster,
    /// EDS
    Endpoints,
    /// LDS
    Listener,
    /// RDS
    Route,
    /// VHDS: virtual hosts of a route configuration, one by one
    VirtualHost,
    /// SDS
    Secret,
    /// NDS: what names mean to the apps of proxies that resolve them
    NameTable,
}

impl ResourceType {
    /// Every type, in the order in which additions are sent: what is named before what names it.
    pub const ALL: [Self; 7] = [
        Self::Cluster,
        Self::Endpoints,
        Self::Listener,
        Self::Route,
        Self::VirtualHost,
        Self::Secret,
        Self::NameTable,
    ];

    /// `type.googleapis.com/...`
    pub const fn url(self) -> &'static str {
        match self {
            Self::Cluster => type_url::CLUSTER,
            Self::Endpoints => type_url::ENDPOINTS,
            Self::Listener => type_url::LISTENER,
            Self::Route => type_url::ROUTE,
            Self::VirtualHost => type_url::VIRTUAL_HOST,
            Self::Secret => type_url::SECRET,
            Self::NameTable => type_url::NAME_TABLE,
        }
    }

    /// The reverse of [`Self::url`].
    pub fn from_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.url() == url)
    }

    /// The three letters that metrics and status tables use.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Cluster => "cds",
            Self::Endpoints => "eds",
            Self::Listener => "lds",
            Self::Route => "rds",
            Self::VirtualHost => "vhds",
            Self::Secret => "sds",
            Self::NameTable => "nds",
        }
    }

    /// A first request that names nothing means everything, as Envoy asks for clusters and listeners, and Istio's agent
    /// for names.
    pub(crate) const fn empty_means_all(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::NameTable)
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}
