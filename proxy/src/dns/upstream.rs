//! Passes questions on to the pod's nameservers, as they came.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::answer::Transport;
use crate::packet_mark;

/// How long one nameserver has. Resolvers wait five seconds, so a second one gets its turn within that.
const PATIENCE: Duration = Duration::from_secs(2);
const PORT: u16 = 53;

/// The nameservers.
#[derive(Debug)]
pub(super) struct Upstream {
    servers: Vec<SocketAddr>,
    /// Put on our own packets, so that the redirect rules let them through.
    mark: Option<u32>,
}

impl Upstream {
    pub(super) fn new(servers: &[IpAddr], mark: Option<u32>) -> Self {
        Self::at(servers.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect(), mark)
    }

    pub(super) fn at(servers: Vec<SocketAddr>, mark: Option<u32>) -> Self {
        Self { servers, mark }
    }

    /// The answer of the first server that has one. None: none of them has.
    pub(super) async fn ask(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        for server in &self.servers {
            let asked = async {
                match transport {
                    Transport::Udp => self.by_udp(*server, question).await,
                    Transport::Tcp => self.by_tcp(*server, question).await,
                }
            };
            match timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, "nameserver: {error}"),
                Err(_) => tracing::debug!(%server, "the nameserver does not answer"),
            }
        }
        None
    }

    async fn by_udp(&self, server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
        // A socket for each question: its port is as hard to guess as the system makes it.
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        packet_mark::set(&socket, self.mark)?;
        socket.connect(server).await?;
        socket.send(question).await?;
        let mut answer = vec![0; usize::from(u16::MAX)];
        loop {
            let len = socket.recv(&mut answer).await?;
            if len >= 2 && answer[..2] == question[..2] {
                answer.truncate(len);
                answer.shrink_to_fit();
                return Ok(answer);
            }
        }
    }

    async fn by_tcp(&self, server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
        let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        packet_mark::set(&socket, self.mark)?;
        let mut stream = socket.connect(server).await?;
        stream.write_all(&framed(question)).await?;
        let len = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(len)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// A message as it travels over TCP: behind its length. One longer than 64 KiB can't come from anywhere.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap_or_default();
    [&len.to_be_bytes(), &message[..usize::from(len)]].concat()
}
