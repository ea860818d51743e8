//! Reads a packet capture just far enough to say what was on the wire.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// The version that a TLS 1.3 ServerHello names in `supported_versions`.
pub(crate) const TLS_1_3: u16 = 0x0304;

const ETHERNET: usize = 14;
const HANDSHAKE: u8 = 0x16;
const SERVER_HELLO: u8 = 2;
const SUPPORTED_VERSIONS: u16 = 43;

/// The TCP payloads of a capture, joined per direction of each connection.
pub(crate) struct Capture {
    /// Each packet's TCP payload.
    pub(crate) packets: Vec<Packet>,
}

/// One direction of a connection: ports and addresses of sender and receiver.
type Direction = ((u16, u16), [u8; 8]);

/// One TCP segment.
pub(crate) struct Packet {
    ports: (u16, u16),
    addresses: [u8; 8],
    sequence: u32,
    payload: Vec<u8>,
}

impl Capture {
    /// Reads a pcap file as tcpdump writes it, of Ethernet and IPv4.
    pub(crate) fn read(pcap: &[u8]) -> Result<Self> {
        ensure!(
            pcap.get(..4) == Some(&0xa1b2_c3d4_u32.to_le_bytes()),
            "not a pcap file of {} bytes",
            pcap.len()
        );
        let mut packets = Vec::new();
        let mut rest = &pcap[24..];
        while let Some((header, after)) = rest.split_at_checked(16) {
            let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
            let Some((frame, after)) = after.split_at_checked(length) else { break };
            packets.extend(segment(frame));
            rest = after;
        }
        Ok(Self { packets })
    }

    /// Whether the bytes appear in any direction of any connection.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        self.streams().values().any(|stream| stream.windows(bytes.len()).any(|window| window == bytes))
    }

    /// The TLS version that each server on `port` chose.
    pub(crate) fn server_hellos(&self, port: u16) -> Vec<u16> {
        let streams = self.streams();
        streams
            .iter()
            .filter(|((ports, _), _)| ports.0 == port)
            .filter_map(|(_, stream)| chosen_version(stream))
            .collect()
    }

    fn streams(&self) -> BTreeMap<Direction, Vec<u8>> {
        let mut segments = BTreeMap::<_, BTreeMap<u32, &[u8]>>::new();
        for packet in &self.packets {
            // A capture this short wraps no sequence number; a repeated segment counts once.
            segments
                .entry((packet.ports, packet.addresses))
                .or_default()
                .insert(packet.sequence, &packet.payload);
        }
        segments
            .into_iter()
            .map(|(key, parts)| (key, parts.into_values().flatten().copied().collect()))
            .collect()
    }
}

fn segment(frame: &[u8]) -> Option<Packet> {
    let ip = frame.get(ETHERNET..)?;
    let header = (ip.first()? & 0x0f) as usize * 4;
    let total = short(ip, 2)? as usize;
    let tcp = ip.get(header..total)?;
    let offset = (tcp.get(12)? >> 4) as usize * 4;
    let payload = tcp.get(offset..)?.to_vec();
    (frame.get(12..14)? == [8, 0] && *ip.get(9)? == 6 && !payload.is_empty()).then_some(())?;
    Some(Packet {
        ports: (short(tcp, 0)?, short(tcp, 2)?),
        addresses: ip.get(12..20)?.try_into().ok()?,
        sequence: u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?),
        payload,
    })
}

/// Out of a stream that begins with a ServerHello: what `supported_versions` says,
/// or the version field of an older one.
fn chosen_version(stream: &[u8]) -> Option<u16> {
    let record = stream.get(5..5 + short(stream, 3)? as usize)?;
    (stream[0] == HANDSHAKE && *record.first()? == SERVER_HELLO).then_some(())?;
    let session = *record.get(38)? as usize; // after type, length, version and random
    let mut extensions = record.get(39 + session + 2 + 1 + 2..)?;
    while let (Some(kind), Some(length)) = (short(extensions, 0), short(extensions, 2)) {
        if kind == SUPPORTED_VERSIONS {
            return short(extensions, 4);
        }
        extensions = extensions.get(4 + length as usize..)?;
    }
    short(record, 4)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut pcap = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        pcap.resize(24, 0);
        for (sequence, payload) in segments {
            let mut frame = vec![0; 12];
            frame.extend([8, 0, 0x45, 0]);
            frame.extend(((40 + payload.len()) as u16).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            frame.extend(8080_u16.to_be_bytes());
            frame.extend(40000_u16.to_be_bytes());
            frame.extend(sequence.to_be_bytes());
            frame.extend([0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
            frame.extend(*payload);
            pcap.extend([0; 8]);
            pcap.extend((frame.len() as u32).to_le_bytes());
            pcap.extend((frame.len() as u32).to_le_bytes());
            pcap.extend(frame);
        }
        pcap
    }

    #[test]
    fn text_is_found_across_segments_and_in_any_order() {
        let read = Capture::read(&capture(&[(5, b"cret"), (1, b"a se"), (5, b"cret")])).unwrap();
        assert!(read.contains(b"a secret"));
        assert!(!read.contains(b"secretcret"));
    }

    #[test]
    fn a_server_hello_says_its_version() {
        let mut hello = vec![SERVER_HELLO, 0, 0, 0, 3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
        let mut record = vec![HANDSHAKE, 3, 3];
        record.extend((hello.len() as u16).to_be_bytes());
        record.extend(hello);
        let read = Capture::read(&capture(&[(1, &record)])).unwrap();
        assert_eq!(read.server_hellos(8080), [TLS_1_3]);
        assert!(read.server_hellos(40000).is_empty());
    }

    #[test]
    fn what_is_no_capture_is_said_to_be_none() {
        assert!(Capture::read(b"tcpdump: eth0: no such device").is_err());
        assert!(Capture::read(b"").is_err());
    }
}
