//! From the model and one proxy's view to Envoy v3 resources. Pure functions: the control plane calls them when a
//! proxy connects and when the mesh changes, `trysailctl` calls them offline.
//!
//! ```text
//! Node (as the proxy says) -> ProxyNode -> ProxyView::of(node, mesh)
//! generate(mesh, view, memo)                  -> Resources             all that the view has
//! update(mesh, view, memo, before, changes)   -> (Resources, Delta)    only what changed is made again
//! touches(mesh, view, object)                 -> bool                  whether the view would differ without it
//! ```
//!
//! Proxies with equal [`ProxyView`]s have equal resources, so resources are made once per view. Views share as well:
//! a [`Memo`] remembers which resource was made from which objects, and most resources depend on few.

mod cluster;
mod context;
mod endpoints;
mod gateway;
mod generate;
mod listener;
mod memo;
mod name_table;
mod node;
mod origin;
mod policy;
mod proto;
mod resource;
mod route;
mod secret;
mod touch;
mod update;
mod view;
mod wire;

pub use generate::generate;
pub use memo::Memo;
pub use node::{Client, Interception, ProxyNode};
pub use resource::{Delta, Resource, Resources};
pub use touch::touches;
pub use update::update;
pub use view::{ProxySettings, ProxyView, ServiceTarget};
pub use xds::ResourceType;
