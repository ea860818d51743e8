//! Makes connections: socket options, source address, packet mark, time limit, TLS.

use std::{
    borrow::Cow,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use pki::tls::peer_id;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive as Probes};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::{
    error::{ResetReason, SendError},
    io::{Io, Link},
    tls::{ClientConfigs, Wire},
};
use crate::packet_mark;
use crate::proxy_protocol::{Announced, Version};
use crate::snapshot::cluster::{ClusterConfig, Endpoint, Place, TcpKeepalive, Transport, UpstreamTls};

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// A Unix socket in the address's place.
    socket: Option<Arc<str>>,
    /// The header that each connection begins with, and whom it tells of if not of ourselves.
    announce: Option<(Version, Option<Announced>)>,
    /// What its connections are for.
    pub(super) wire: Wire,
    /// How they are made for that.
    made_as: Wire,
    tls: Option<Arc<UpstreamTls>>,
    /// The SNI that the request asks for (`auto_sni`).
    server_name: Option<Box<str>>,
    verify_server_name: bool,
    bind: Option<IpAddr>,
    keepalive: Option<TcpKeepalive>,
    timeout: Duration,
}

impl Target {
    /// `authority` is the request's, for clusters whose SNI follows it.
    pub(super) fn new(
        config: &ClusterConfig,
        endpoint: &Endpoint,
        wire: Wire,
        authority: Option<&str>,
    ) -> Self {
        let tls = match config.transports.for_endpoint(&endpoint.metadata) {
            Transport::Raw => None,
            Transport::Tls(tls) => Some(tls.clone()),
        };
        let name = authority.filter(|_| tls.is_some() && config.http.auto_sni).map(host_of);
        Self {
            address: endpoint.address(),
            socket: match endpoint.place() {
                Place::Socket(path) => Some(path.clone()),
                Place::Port(_) => None,
            },
            announce: config.transports.announce.map(|version| (version, None)),
            // Where connections are counted, one carries one request at a time, or the limits would mean nothing.
            made_as: match wire {
                Wire::Http1 if config.limits.count_connections() => Wire::Http1Alone,
                wire => wire,
            },
            wire,
            server_name: name.map(Box::from),
            verify_server_name: name.is_some() && config.http.auto_san,
            tls,
            bind: config.bind,
            keepalive: config.tcp_keepalive,
            timeout: config.connect_timeout,
        }
    }

    /// Tells the endpoint of this client, if it is told of any.
    pub(super) fn announcing(mut self, client: Announced) -> Self {
        self.announce = self.announce.map(|(version, _)| (version, Some(client)));
        self
    }

    /// Whether connections to this target serve a request of this kind.
    pub(super) fn serves(&self, wire: Wire, authority: Option<&str>, config: &ClusterConfig) -> bool {
        self.wire == wire
            && (self.tls.is_none()
                || !config.http.auto_sni
                || self.server_name.as_deref() == authority.map(host_of))
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether one connection might carry many requests at a time.
    pub(super) fn may_be_http2(&self) -> bool {
        self.made_as.may_be_http2(self.tls.as_deref())
    }
}

/// An authority without its port.
fn host_of(authority: &str) -> &str {
    crate::snapshot::route::without_port(authority).trim_start_matches('[').trim_end_matches(']')
}

/// What all connections of a worker are made with.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) configs: ClientConfigs,
    /// `SO_MARK`, by which redirect rules know our own packets.
    pub(super) mark: Option<u32>,
}

/// A connection that is ready to be used.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) io: Io,
    pub(super) link: Rc<Link>,
    pub(super) http2: bool,
}

impl Connector {
    pub(super) async fn connect(&self, target: &Target) -> Result<Fresh, SendError> {
        match tokio::time::timeout(target.timeout, self.connect_for_ever(target)).await {
            Ok(result) => result,
            Err(_) => {
                Err(SendError { transport: None, ..SendError::connect(ResetReason::ConnectionTimeout, "") })
            }
        }
    }

    async fn connect_for_ever(&self, target: &Target) -> Result<Fresh, SendError> {
        if let Some(path) = &target.socket {
            return unix(target, path).await.map_err(|error| {
                let problem = format!("immediate connect error: {}|remote address:{path}", words(&error));
                SendError::connect(ResetReason::RemoteConnectionFailure, problem)
            });
        }
        let socket = self.socket(target).map_err(|error| {
            SendError::connect(
                ResetReason::LocalConnectionFailure,
                format!("socket error: {}", words(&error)),
            )
        })?;
        let mut stream = socket.connect(target.address).await.map_err(|error| {
            SendError::connect(
                ResetReason::RemoteConnectionFailure,
                format!("delayed connect error: {}", words(&error)),
            )
        })?;
        let local = stream.local_addr().unwrap_or(NOWHERE);
        if let Some((version, client)) = target.announce {
            let ourselves = Announced { source: local, destination: target.address };
            let header = version.header(client.unwrap_or(ourselves));
            let written = stream.write_all(&header).await;
            written
                .map_err(|error| SendError::connect(ResetReason::RemoteConnectionFailure, words(&error)))?;
        }
        let Some(tls) = &target.tls else {
            let http2 = target.wire.is_http2(None);
            let link = Link {
                remote: target.address,
                local,
                tls: false,
                peer: None,
                local_uri: None,
                protocol: target.wire.protocol(http2),
                alpn: None,
            };
            return Ok(Fresh { io: Io::Plain(stream), link: Rc::new(link), http2 });
        };
        self.handshake(target, tls, stream, local).await.map_err(|problem| {
            SendError::connect(ResetReason::RemoteConnectionFailure, format!("TLS_error:{problem}"))
        })
    }

    fn socket(&self, target: &Target) -> io::Result<TcpSocket> {
        let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        packet_mark::set(&socket, self.mark)?;
        if let Some(keepalive) = &target.keepalive {
            SockRef::from(&socket).set_tcp_keepalive(&probes(keepalive))?;
        }
        if let Some(bind) = target.bind.filter(|bind| bind.is_ipv4() == target.address.is_ipv4()) {
            // The port is chosen with the destination in view, so that one source address has enough of them.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(bind, 0))?;
        }
        Ok(socket)
    }

    async fn handshake(
        &self,
        target: &Target,
        tls: &UpstreamTls,
        stream: TcpStream,
        local: SocketAddr,
    ) -> Result<Fresh, Cow<'static, str>> {
        let (config, identity) = self.configs.get(tls, target.made_as, target.verify_server_name)?;
        let local_uri = identity.id().map(|id| Arc::from(id.as_str()));
        let name = match target.server_name.as_deref().or(tls.sni.as_deref()) {
            Some(name) => pki::tls::sni(name).map_err(|error| error.to_string())?,
            // An address is never sent as SNI.
            None => ServerName::IpAddress(target.address.ip().into()),
        };
        let stream =
            TlsConnector::from(config).connect(name, stream).await.map_err(|error| error.to_string())?;
        let session = stream.get_ref().1;
        let peer = peer_id(session.peer_certificates()).map(|id| Arc::from(id.as_str()));
        let alpn: Option<Box<[u8]>> = session.alpn_protocol().map(Box::from);
        let http2 = target.made_as.is_http2(alpn.as_deref());
        let protocol = target.wire.protocol(http2);
        let link = Link { remote: target.address, local, tls: true, peer, local_uri, protocol, alpn };
        Ok(Fresh { io: Io::Tls(Box::new(stream)), link: Rc::new(link), http2 })
    }
}

/// Stands for the address of a Unix socket.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// A connection to a Unix socket, which carries no TLS: it leaves the machine for nobody to listen.
async fn unix(target: &Target, path: &str) -> io::Result<Fresh> {
    let stream = UnixStream::connect(path).await?;
    let http2 = target.wire.is_http2(None);
    let link = Link {
        remote: NOWHERE,
        local: NOWHERE,
        tls: false,
        peer: None,
        local_uri: None,
        protocol: target.wire.protocol(http2),
        alpn: None,
    };
    Ok(Fresh { io: Io::Unix(stream), link: Rc::new(link), http2 })
}

fn probes(keepalive: &TcpKeepalive) -> Probes {
    let mut probes = Probes::new();
    if let Some(time) = keepalive.time {
        probes = probes.with_time(time);
    }
    if let Some(interval) = keepalive.interval {
        probes = probes.with_interval(interval);
    }
    if let Some(retries) = keepalive.probes {
        probes = probes.with_retries(retries);
    }
    probes
}

/// The system's words for an error, without the number that Rust appends.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
