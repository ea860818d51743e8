//! Requests are decoded by prost; responses are copied from shared bodies straight into the send buffer.

use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;
use xds::server::Plan;
use xds::wire;

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

/// Small to begin with: most responses are one resource.
const BUFFER: usize = 4 << 10;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AdsCodec;

impl Codec for AdsCodec {
    type Encode = Push;
    type Decode = DeltaDiscoveryRequest;
    type Encoder = PushEncoder;
    type Decoder = <ProstCodec<DeltaDiscoveryResponse, DeltaDiscoveryRequest> as Codec>::Decoder;

    fn encoder(&mut self) -> PushEncoder {
        PushEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<DeltaDiscoveryResponse, DeltaDiscoveryRequest>::raw_decoder(BufferSettings::default())
    }
}

#[derive(Debug)]
pub(super) struct PushEncoder;

impl Encoder for PushEncoder {
    type Item = Push;
    type Error = Status;

    fn encode(&mut self, push: Push, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let started = std::time::Instant::now();
        let Push { plan, snapshot, introduce, context } = push;
        let resources = plan.send.iter().filter_map(|name| {
            let resource = snapshot.get(plan.kind, name)?;
            Some(wire::Resource { name: &resource.name, version: resource.version, body: &resource.body })
        });
        let nonce = plan.nonce_text();
        let control_plane = if introduce { context.introduction() } else { &[] };
        let response = wire::Response {
            kind: plan.kind,
            nonce: &nonce,
            resources,
            removed: &plan.remove,
            control_plane,
        };
        let size = response.encoded_len();
        out.reserve(size);
        response.write(out);
        let metrics = context.metrics.of(plan.kind);
        metrics.pushes.inc();
        metrics.size.observe(size as f64);
        metrics.push_time.observe(started.elapsed().as_secs_f64());
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, 32 << 10)
    }
}
