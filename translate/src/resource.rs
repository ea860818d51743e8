//! What comes out: encoded resources, all that one view has of them, and what changed between two such sets.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use model::Text;
use prost::Message;
use xds::ResourceType;

/// One resource, encoded once and shared by every view that has it.
#[derive(PartialEq, Eq)]
pub struct Resource {
    /// Name.
    pub name: Text,
    /// Hash of the body: equal content has an equal version, before and after a restart.
    pub version: u64,
    /// The encoded message, without its `Any`.
    pub body: Bytes,
}

impl Resource {
    /// From the encoded message.
    pub fn new(name: &str, body: Vec<u8>) -> Arc<Self> {
        let mut hasher = twox_hash::XxHash64::with_seed(0);
        hasher.write(&body);
        Arc::new(Self { name: model::intern(name), version: hasher.finish(), body: body.into() })
    }

    pub(crate) fn of<M: Message>(name: &str, message: &M) -> Arc<Self> {
        Self::new(name, message.encode_to_vec())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:x}, {} bytes)", self.name, self.version, self.body.len())
    }
}

type Named = OrdMap<Text, Arc<Resource>>;

/// All resources of one view. Cloning is cheap, and a clone shares whatever is not changed afterwards.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    clusters: Named,
    endpoints: Named,
    listeners: Named,
    routes: Named,
    virtual_hosts: Named,
    secrets: Named,
    name_tables: Named,
    /// Version of the mesh that they were made from.
    made_from: u64,
}

impl Resources {
    pub(crate) fn from_version(made_from: u64) -> Self {
        Self { made_from, ..Self::default() }
    }

    pub(crate) fn made_from(&self) -> u64 {
        self.made_from
    }

    pub(crate) fn at_version(self, made_from: u64) -> Self {
        Self { made_from, ..self }
    }

    fn of(&self, kind: ResourceType) -> &Named {
        match kind {
            ResourceType::Cluster => &self.clusters,
            ResourceType::Endpoints => &self.endpoints,
            ResourceType::Listener => &self.listeners,
            ResourceType::Route => &self.routes,
            ResourceType::VirtualHost => &self.virtual_hosts,
            ResourceType::Secret => &self.secrets,
            ResourceType::NameTable => &self.name_tables,
        }
    }

    fn of_mut(&mut self, kind: ResourceType) -> &mut Named {
        match kind {
            ResourceType::Cluster => &mut self.clusters,
            ResourceType::Endpoints => &mut self.endpoints,
            ResourceType::Listener => &mut self.listeners,
            ResourceType::Route => &mut self.routes,
            ResourceType::VirtualHost => &mut self.virtual_hosts,
            ResourceType::Secret => &mut self.secrets,
            ResourceType::NameTable => &mut self.name_tables,
        }
    }

    /// A resource by name.
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.of(kind).get(name)
    }

    /// All resources of a type, in order of names.
    pub fn iter(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<Resource>> {
        self.of(kind).values()
    }

    /// Resources of a type whose names begin with a prefix, in order of names.
    pub fn with_prefix<'a>(
        &'a self,
        kind: ResourceType,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.of(kind)
            .range::<_, str>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .map(|(_, resource)| resource)
            .take_while(move |resource| resource.name.starts_with(prefix))
    }

    /// Number of resources of a type.
    pub fn len(&self, kind: ResourceType) -> usize {
        self.of(kind).len()
    }

    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        ResourceType::ALL.iter().all(|kind| self.of(*kind).is_empty())
    }

    /// Names of a type whose resources differ between two sets. Costs what differs, not what there is, if one came
    /// from the other.
    pub fn changed_since(&self, before: &Self, kind: ResourceType) -> Vec<Text> {
        let name = |item| match item {
            DiffItem::Add(name, _) | DiffItem::Remove(name, _) => Text::clone(name),
            DiffItem::Update { new: (name, _), .. } => Text::clone(name),
        };
        before.of(kind).diff(self.of(kind)).map(name).collect()
    }

    pub(crate) fn insert(&mut self, kind: ResourceType, resource: Arc<Resource>) {
        self.of_mut(kind).insert(resource.name.clone(), resource);
    }

    pub(crate) fn remove(&mut self, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.of_mut(kind).remove(name)
    }
}

impl xds::server::Snapshot for Resources {
    fn version(&self, kind: ResourceType, name: &str) -> Option<u64> {
        self.get(kind, name).map(|resource| resource.version)
    }

    fn size(&self, kind: ResourceType, name: &str) -> usize {
        self.get(kind, name).map_or(0, |resource| resource.body.len())
    }

    fn names(&self, kind: ResourceType, prefix: &str) -> Vec<Arc<str>> {
        self.with_prefix(kind, prefix).map(|resource| resource.name.clone()).collect()
    }

    fn changed_since(&self, base: &Self, kind: ResourceType) -> Vec<Arc<str>> {
        Resources::changed_since(self, base, kind)
    }
}

/// What changed between two sets of resources.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// New and changed resources, in the order in which they may be sent: what is named before what names it.
    pub changed: Vec<(ResourceType, Arc<Resource>)>,
    /// Names that are gone.
    pub removed: Vec<(ResourceType, Text)>,
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    /// Both, in order.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.changed.extend(other.changed);
        self.changed.sort_by_key(|(kind, _)| *kind);
        self.removed.extend(other.removed);
        self
    }

    /// What leads from one set to another.
    pub fn between(before: &Resources, after: &Resources) -> Self {
        let mut delta = Self::default();
        for kind in ResourceType::ALL {
            for name in after.changed_since(before, kind) {
                match after.get(kind, &name) {
                    Some(resource) => delta.changed.push((kind, resource.clone())),
                    None => delta.removed.push((kind, name)),
                }
            }
        }
        delta
    }
}
