//! One response: which resources of which snapshot, written from the bodies that all streams share.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use xds::server::Plan;
use xds::wire;

use super::framing::Encode;
use super::service::Context;
use crate::mesh::ViewSnapshot;

/// A response that is planned but not encoded.
pub(super) struct Push {
    pub(super) plan: Plan,
    pub(super) snapshot: Arc<ViewSnapshot>,
    /// Whether to say who this control plane is; once per stream is enough.
    pub(super) introduce: bool,
    pub(super) context: Arc<Context>,
}

impl Push {
    fn with_response<T>(&self, use_it: impl FnOnce(wire::Response<'_, Resources<'_>>) -> T) -> T {
        let nonce = self.plan.nonce_text();
        use_it(wire::Response {
            kind: self.plan.kind,
            nonce: &nonce,
            resources: Resources { push: self, next: 0 },
            removed: &self.plan.remove,
            control_plane: if self.introduce { self.context.introduction() } else { &[] },
        })
    }
}

impl Encode for Push {
    fn encoded_len(&self) -> usize {
        self.with_response(|response| response.encoded_len())
    }

    fn write(&self, out: &mut BytesMut) {
        let started = Instant::now();
        let before = out.len();
        self.with_response(|response| response.write(out));
        let metrics = self.context.metrics.of(self.plan.kind);
        metrics.pushes.inc();
        metrics.size.observe((out.len() - before) as f64);
        metrics.push_time.observe(started.elapsed().as_secs_f64());
    }
}

/// The planned resources, looked up one by one.
#[derive(Clone)]
struct Resources<'p> {
    push: &'p Push,
    next: usize,
}

impl<'p> Iterator for Resources<'p> {
    type Item = wire::Resource<'p>;

    fn next(&mut self) -> Option<wire::Resource<'p>> {
        let Push { plan, snapshot, .. } = self.push;
        while let Some(name) = plan.send.get(self.next) {
            self.next += 1;
            if let Some(resource) = snapshot.get(plan.kind, name) {
                return Some(wire::Resource {
                    name: &resource.name,
                    version: resource.version,
                    body: &resource.body,
                });
            }
        }
        None
    }
}
