//! The PROXY protocol: a header in front of a connection that tells who is behind it.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Version of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Who connected, and to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// How a binary header begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line that version 1 allows, with its end.
const MAX_LINE: usize = 107;
/// Room for addresses and for extensions that nobody here reads.
const MAX_BINARY: usize = 4096;

impl Version {
    /// The header.
    pub fn header(self, announced: Announced) -> Vec<u8> {
        let Announced { source, destination } = announced;
        match self {
            Self::V1 => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (source.ip(), destination.ip());
                format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
                    .into_bytes()
            }
            Self::V2 => {
                let mut header = SIGNATURE.to_vec();
                header.extend(match (source.ip(), destination.ip()) {
                    (IpAddr::V4(from), IpAddr::V4(to)) => {
                        [&[0x21, 0x11, 0, 12][..], &from.octets(), &to.octets()].concat()
                    }
                    (from, to) => [&[0x21, 0x21, 0, 36][..], &octets(from), &octets(to)].concat(),
                });
                header.extend(source.port().to_be_bytes());
                header.extend(destination.port().to_be_bytes());
                header
            }
        }
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Reads a header of either version and not a byte more. `None`: whoever connects speaks for itself.
///
/// # Errors
/// When the connection breaks off, or doesn't begin with such a header.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Announced>> {
    // The shortest line is `PROXY UNKNOWN` and its end; a binary header is longer.
    let mut start = [0; 15];
    stream.read_exact(&mut start).await?;
    if start.starts_with(&SIGNATURE) { binary(stream, start).await } else { line(stream, &start).await }
}

async fn line(stream: &mut (impl AsyncRead + Unpin), start: &[u8]) -> io::Result<Option<Announced>> {
    if !start.starts_with(b"PROXY ") {
        return Err(malformed("a connection without a PROXY header"));
    }
    let mut line = start.to_vec();
    while line.last() != Some(&b'\n') {
        if line.len() == MAX_LINE {
            return Err(malformed("a PROXY line without end"));
        }
        line.push(stream.read_u8().await?);
    }
    let line = std::str::from_utf8(&line).map_err(|_| malformed("a PROXY line that is no text"))?;
    let words: Vec<&str> = line.trim_end().split(' ').skip(1).collect();
    match words.as_slice() {
        ["UNKNOWN", ..] => Ok(None),
        ["TCP4" | "TCP6", source, destination, from, to] => {
            let end = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
            let ends = end(source, from).zip(end(destination, to));
            let (source, destination) = ends.ok_or_else(|| malformed("a PROXY line without addresses"))?;
            Ok(Some(Announced { source, destination }))
        }
        _ => Err(malformed("a PROXY line of an unknown form")),
    }
}

async fn binary(stream: &mut (impl AsyncRead + Unpin), start: [u8; 15]) -> io::Result<Option<Announced>> {
    let (command, family) = (start[12], start[13]);
    let length = usize::from(u16::from_be_bytes([start[14], stream.read_u8().await?]));
    if command >> 4 != 2 || length > MAX_BINARY {
        return Err(malformed("a PROXY header of an unknown form"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    // A LOCAL command is a health check of the proxy in front.
    if command.trailing_zeros() >= 4 {
        return Ok(None);
    }
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let ends = match family {
        0x11 => {
            let ip = |at: usize| Some(IpAddr::from(Ipv4Addr::from(*rest.get(at..)?.first_chunk::<4>()?)));
            ip(0).zip(ip(4)).zip(port(8).zip(port(10)))
        }
        0x21 => {
            let ip = |at: usize| Some(IpAddr::from(Ipv6Addr::from(*rest.get(at..)?.first_chunk::<16>()?)));
            ip(0).zip(ip(16)).zip(port(32).zip(port(34)))
        }
        _ => return Ok(None),
    };
    let ((from, to), (source, destination)) =
        ends.ok_or_else(|| malformed("a PROXY header without addresses"))?;
    Ok(Some(Announced {
        source: SocketAddr::new(from, source),
        destination: SocketAddr::new(to, destination),
    }))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(source: &str, destination: &str) -> Announced {
        Announced { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_nothing_beyond_it() {
        for ends in
            [announced("10.0.0.1:1234", "10.0.0.2:80"), announced("[2001:db8::1]:1", "[2001:db8::2]:65535")]
        {
            for version in [Version::V1, Version::V2] {
                let mut bytes = version.header(ends);
                bytes.extend(b"GET / HTTP/1.1\r\n");
                let mut stream = bytes.as_slice();
                assert_eq!(read(&mut stream).await.unwrap(), Some(ends), "{version:?}");
                assert_eq!(stream, b"GET / HTTP/1.1\r\n", "{version:?}");
            }
        }
    }

    #[test]
    fn the_line_is_as_the_specification_has_it() {
        let line = Version::V1.header(announced("10.0.0.1:1234", "10.0.0.2:80"));
        assert_eq!(line, b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n");
    }

    #[tokio::test]
    async fn who_says_nothing_of_others_speaks_for_itself() {
        let local = [&SIGNATURE[..], &[0x20, 0, 0, 0], b"rest"].concat();
        for bytes in [&b"PROXY UNKNOWN\r\nrest"[..], &local] {
            let mut stream = bytes;
            assert_eq!(read(&mut stream).await.unwrap(), None);
            assert_eq!(stream, b"rest");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        let short = [&SIGNATURE[..], &[0x21, 0x11, 0, 2, 1, 2]].concat();
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 a b c d\r\n", b"PROXY", &endless, &short] {
            assert!(read(&mut &*bytes).await.is_err(), "{bytes:?}");
        }
    }
}
