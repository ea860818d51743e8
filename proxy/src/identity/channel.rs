//! A gRPC channel to the control plane: TCP, TLS with the identity at hand, HTTP/2 with keepalive.
//!
//! `authority` opens one for each certificate request, `subscribe` one for each stream; nobody pools them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use pki::Identity;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use crate::packet_mark;

pub use tonic::transport::Channel;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for a mesh's whole configuration to arrive without stalls; memory is used only while it is on its way.
const WINDOW: u32 = 4 << 20;

/// Where to connect, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// Host and port.
    pub address: String,
    /// What to present and whom to trust; none is plaintext.
    pub identity: Option<Arc<Identity>>,
    /// The name that the server's certificate must have, where that isn't the host of the address.
    pub server_name: Option<String>,
    /// Mark on the socket, so that redirect rules let it through.
    pub packet_mark: Option<u32>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Not an address.
    #[error("{0:?} is not an address of the form host:port")]
    Address(String),
    /// The name has no addresses.
    #[error("cannot resolve {host:?}: {source}; does the Service exist, and does DNS work in this pod?")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "cannot connect to {address}: {source}; is the control plane running, and does a NetworkPolicy forbid it?"
    )]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// TLS failed.
    #[error(
        "TLS to {address} failed: {source}; the server must have a certificate for {name:?} from a root in the mounted root-cert.pem"
    )]
    Tls {
        /// Where to.
        address: String,
        /// The name that was asked for.
        name: String,
        /// What the library said.
        source: io::Error,
    },
    /// TLS could not be configured.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// HTTP/2 did not start.
    #[error("HTTP/2 to {address} failed: {problem}")]
    Http2 {
        /// Where to.
        address: String,
        /// What the library said.
        problem: String,
    },
}

/// Connects; the channel lives as long as its connection.
pub async fn connect(target: &Target) -> Result<Channel, ChannelError> {
    let bad = || ChannelError::Address(target.address.clone());
    let (host, _) = target.address.rsplit_once(':').ok_or_else(bad)?;
    let scheme = if target.identity.is_some() { "https" } else { "http" };
    let origin = format!("{scheme}://{}", target.address).parse().map_err(|_| bad())?;
    // The URI stays `http`: TLS is ours, and the library only has to speak HTTP/2 on what it is given.
    let endpoint = Endpoint::from_shared(format!("http://{}", target.address))
        .map_err(|_| bad())?
        .origin(origin)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let stream = open(target).await?;
    let http2 = |error: tonic::transport::Error| ChannelError::Http2 {
        address: target.address.clone(),
        problem: chain(&error),
    };
    let Some(identity) = &target.identity else {
        return endpoint.connect_with_connector(once(stream)).await.map_err(http2);
    };
    let name = target.server_name.as_deref().unwrap_or(host.trim_start_matches('[').trim_end_matches(']'));
    let config = pki::tls::control_plane_client_config(identity.clone())?;
    let handshake = TlsConnector::from(config).connect(pki::tls::sni(name)?, stream);
    let failed =
        |source| ChannelError::Tls { address: target.address.clone(), name: name.to_owned(), source };
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, handshake).await {
        Ok(result) => result.map_err(failed)?,
        Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
    };
    endpoint.connect_with_connector(once(stream)).await.map_err(http2)
}

/// A plaintext channel over a connection that is open already.
pub(crate) async fn over<S>(stream: S, address: &str) -> Result<Channel, ChannelError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| ChannelError::Address(address.to_owned()))?;
    endpoint
        .connect_with_connector(once(stream))
        .await
        .map_err(|error| ChannelError::Http2 { address: address.to_owned(), problem: chain(&error) })
}

/// Hands out the connection that is open already. The library's wish to reconnect is refused: callers start afresh,
/// with a new token and the certificate of that moment.
fn once<S>(
    stream: S,
) -> impl tower::Service<
    http::Uri,
    Response = TokioIo<S>,
    Error = io::Error,
    Future = std::future::Ready<io::Result<TokioIo<S>>>,
> + Send
+ 'static
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let mut stream = Some(stream);
    tower::service_fn(move |_| {
        std::future::ready(stream.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    })
}

async fn open(target: &Target) -> Result<TcpStream, ChannelError> {
    let resolve = |source| ChannelError::Resolve { host: target.address.clone(), source };
    let addresses = lookup_host(&target.address).await.map_err(resolve)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, open_one(address, target.packet_mark)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ChannelError::Connect { address: target.address.clone(), source: last })
}

async fn open_one(address: SocketAddr, mark: Option<u32>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    packet_mark::set(&socket, mark)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
