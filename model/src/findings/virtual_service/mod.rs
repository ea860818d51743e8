//! VirtualServices.

mod bound;
mod claims;
mod delegates;
mod destinations;
mod headers;

use super::list::{At, List};
use super::{FindingKind, places};
use crate::config::VirtualService;
use crate::mesh::Mesh;

pub(super) fn look(mesh: &Mesh, service: &VirtualService, list: &mut List) {
    claims::look(mesh, service, list);
    bound::look(mesh, service, list);
    delegates::look(mesh, service, list);
    destinations::look(mesh, service, list);
    headers::look(service, list);
    for problem in crds::unreachable_rules(&service.spec) {
        list.warning(FindingKind::Unreachable, &At::of(problem.field), problem.message);
    }
    places::exports(mesh, service.export_to.as_ref(), list);
}
