//! Where a redirected connection wanted to go.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::SockRef;
use tokio::net::TcpStream;

/// The ends of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub remote: SocketAddr,
    /// Where the client wanted to go: the original destination, or the listener's own address.
    pub destination: SocketAddr,
    /// Whether the destination was another before redirection.
    pub redirected: bool,
}

/// Asks the kernel. `restore`: whether connections to this listener are redirected.
pub fn ends(stream: &TcpStream, restore: bool) -> io::Result<Ends> {
    let remote = canonical(stream.peer_addr()?);
    let local = canonical(stream.local_addr()?);
    let original = if restore { original_destination(stream, local) } else { None };
    let destination = original.unwrap_or(local);
    Ok(Ends { remote, destination, redirected: destination != local })
}

fn original_destination(stream: &TcpStream, local: SocketAddr) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    // A connection that wasn't redirected has no entry; that isn't an error.
    let address = match local.ip() {
        IpAddr::V4(_) => socket.original_dst_v4(),
        IpAddr::V6(_) => socket.original_dst_v6(),
    };
    address.ok()?.as_socket().map(canonical)
}

/// IPv4 in its own form, also where it came through an IPv6 socket.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
