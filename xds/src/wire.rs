//! Responses as bytes, built from resources that were encoded once and are shared by every stream.
//!
//! The control plane writes a [`Response`] per stream straight into its send buffer, which only copies. The result is exactly what prost would write for a `DeltaDiscoveryResponse`.

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::ResourceType;

/// Field numbers of `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
mod response_field {
    pub(super) const RESOURCES: u32 = 2;
    pub(super) const TYPE_URL: u32 = 4;
    pub(super) const NONCE: u32 = 5;
    pub(super) const REMOVED: u32 = 6;
    pub(super) const CONTROL_PLANE: u32 = 7;
}

/// Field numbers of `envoy.service.discovery.v3.Resource`.
mod resource_field {
    pub(super) const VERSION: u32 = 1;
    pub(super) const RESOURCE: u32 = 2;
    pub(super) const NAME: u32 = 3;
}

/// Field numbers of `google.protobuf.Any`.
mod any_field {
    pub(super) const TYPE_URL: u32 = 1;
    pub(super) const VALUE: u32 = 2;
}

/// How a version is written on the wire.
pub fn version_text(version: u64) -> String {
    format!("{version:016x}")
}

/// The reverse of [`version_text`]; versions of another control plane yield nothing.
pub fn parse_version(text: &str) -> Option<u64> {
    if text.len() == 16 { u64::from_str_radix(text, 16).ok() } else { None }
}

/// One resource, with its message as encoded once.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: u64,
    /// The encoded message, without its `Any`.
    pub body: &'a [u8],
}

/// Bytes of a version on the wire.
const VERSION_LEN: usize = 16;

impl Resource<'_> {
    fn any_len(&self, kind: ResourceType) -> usize {
        field_len(any_field::TYPE_URL, kind.url().len()) + field_len(any_field::VALUE, self.body.len())
    }

    fn inner_len(&self, kind: ResourceType) -> usize {
        field_len(resource_field::VERSION, VERSION_LEN)
            + field_len(resource_field::RESOURCE, self.any_len(kind))
            + field_len(resource_field::NAME, self.name.len())
    }

    fn write(&self, kind: ResourceType, out: &mut impl BufMut) {
        put_header(out, response_field::RESOURCES, self.inner_len(kind));
        put(out, resource_field::VERSION, version_text(self.version).as_bytes());
        put_header(out, resource_field::RESOURCE, self.any_len(kind));
        put(out, any_field::TYPE_URL, kind.url().as_bytes());
        put(out, any_field::VALUE, self.body);
        put(out, resource_field::NAME, self.name.as_bytes());
    }
}

/// What a response consists of.
#[derive(Clone, Debug)]
pub struct Response<'a, R> {
    /// Type of all resources in it.
    pub kind: ResourceType,
    /// To be echoed in the ACK.
    pub nonce: &'a str,
    /// The resources; gone through twice, once for the size.
    pub resources: R,
    /// Names that are gone.
    pub removed: &'a [std::sync::Arc<str>],
    /// Encoded `envoy.config.core.v3.ControlPlane`, or empty.
    pub control_plane: &'a [u8],
}

impl<'a, R: Iterator<Item = Resource<'a>> + Clone> Response<'_, R> {
    /// How many bytes [`Self::write`] writes.
    pub fn encoded_len(&self) -> usize {
        let resource = |one: Resource<'_>| field_len(response_field::RESOURCES, one.inner_len(self.kind));
        let control_plane = if self.control_plane.is_empty() {
            0
        } else {
            field_len(response_field::CONTROL_PLANE, self.control_plane.len())
        };
        self.resources.clone().map(resource).sum::<usize>()
            + field_len(response_field::TYPE_URL, self.kind.url().len())
            + field_len(response_field::NONCE, self.nonce.len())
            + self.removed.iter().map(|name| field_len(response_field::REMOVED, name.len())).sum::<usize>()
            + control_plane
    }

    /// Appends the message.
    pub fn write(&self, out: &mut impl BufMut) {
        for one in self.resources.clone() {
            one.write(self.kind, out);
        }
        put(out, response_field::TYPE_URL, self.kind.url().as_bytes());
        put(out, response_field::NONCE, self.nonce.as_bytes());
        for name in self.removed {
            put(out, response_field::REMOVED, name.as_bytes());
        }
        if !self.control_plane.is_empty() {
            put(out, response_field::CONTROL_PLANE, self.control_plane);
        }
    }
}

fn field_len(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}

fn put_header(out: &mut impl BufMut, field: u32, len: usize) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

fn put(out: &mut impl BufMut, field: u32, value: &[u8]) {
    put_header(out, field, value.len());
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::core::v3::ControlPlane;
    use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
    use prost::Message as _;

    #[test]
    fn prost_reads_what_is_written() {
        let control_plane = ControlPlane { identifier: "istiod".into() };
        let large = vec![0u8; 70_000];
        let resources = [
            Resource { name: "a", version: 7, body: b"first" },
            Resource { name: "b", version: u64::MAX, body: &large },
        ];
        let response = Response {
            kind: ResourceType::Cluster,
            nonce: "n1",
            resources: resources.into_iter(),
            removed: &["gone".into()],
            control_plane: &control_plane.encode_to_vec(),
        };
        let mut bytes = Vec::new();
        response.write(&mut bytes);
        assert_eq!(bytes.len(), response.encoded_len());
        let read = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(read.type_url, ResourceType::Cluster.url());
        assert_eq!(
            (read.nonce.as_str(), read.removed_resources.as_slice()),
            ("n1", &["gone".to_owned()][..])
        );
        assert_eq!(read.control_plane, Some(control_plane));
        assert_eq!(read.resources[0].name, "a");
        assert_eq!(read.resources[0].version, "0000000000000007");
        assert_eq!(read.resources[0].resource.as_ref().unwrap().value, b"first");
        assert_eq!(read.resources[1].resource.as_ref().unwrap().value.len(), 70_000);
        assert_eq!(parse_version(&read.resources[1].version), Some(u64::MAX));
        assert_eq!(read.encode_to_vec().len(), bytes.len(), "nothing superfluous");
    }

    #[test]
    fn foreign_versions_are_unknown() {
        for text in ["", "7", "2024-01-01T00:00:00Z/12", "zzzzzzzzzzzzzzzz"] {
            assert_eq!(parse_version(text), None, "{text}");
        }
    }
}
