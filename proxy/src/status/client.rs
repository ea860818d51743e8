//! Plain HTTP requests to the application: for probes and metrics. From 127.0.0.6 where the pod's address is asked, so that
//! redirect rules let them through to the application itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pki::tls::AnyCertificate;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// Where requests to the pod's own address come from.
const BYPASS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request is not valid: {0}")]
    Request(#[from] http::Error),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// What becomes of an answer that is larger than the limit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// It is cut there.
    Cut(usize),
    /// It is an error.
    Refuse(usize),
}

/// Connects to an address in this pod.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, ClientError> {
    let failed = |error| ClientError::Connect(address, error);
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    if address.is_ipv4() && !address.ip().is_loopback() {
        socket.bind(SocketAddr::new(BYPASS, 0)).map_err(failed)?;
    }
    socket.connect(address).await.map_err(failed)
}

/// One GET request; scheme, authority and path are those of `uri`, the connection goes to `address`.
pub(super) async fn get(
    address: SocketAddr,
    uri: &Uri,
    headers: &HeaderMap,
    limit: Limit,
) -> Result<Response<Bytes>, ClientError> {
    let stream = connect(address).await?;
    if uri.scheme_str() == Some("https") {
        let name = ServerName::from(address.ip());
        let stream = tls()?.connect(name, stream).await.map_err(ClientError::Tls)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        return exchange(stream, http2, uri, headers, limit).await;
    }
    exchange(stream, false, uri, headers, limit).await
}

async fn exchange<S>(
    stream: S,
    http2: bool,
    uri: &Uri,
    headers: &HeaderMap,
    limit: Limit,
) -> Result<Response<Bytes>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(uri, headers, http2)?;
    let io = TokioIo::new(stream);
    if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        let driver = tokio::spawn(connection);
        let response = collect(sender.send_request(request).await?, limit).await;
        driver.abort();
        response
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let driver = tokio::spawn(connection);
        let response = collect(sender.send_request(request).await?, limit).await;
        driver.abort();
        response
    }
}

fn request(uri: &Uri, headers: &HeaderMap, http2: bool) -> Result<Request<Empty<Bytes>>, ClientError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = if http2 {
        Request::get(uri.clone()).body(Empty::new())?
    } else {
        Request::get(path).body(Empty::new())?
    };
    *request.headers_mut() = headers.clone();
    if http2 {
        request.headers_mut().remove(header::HOST);
        request.headers_mut().remove(header::CONNECTION);
    } else if let (false, Some(authority)) = (headers.contains_key(header::HOST), uri.authority())
        && let Ok(host) = authority.as_str().parse()
    {
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(request)
}

async fn collect(
    response: Response<hyper::body::Incoming>,
    limit: Limit,
) -> Result<Response<Bytes>, ClientError> {
    let (head, mut body) = response.into_parts();
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        match limit {
            Limit::Cut(most) if collected.len() + data.len() > most => {
                collected.extend_from_slice(&data[..most - collected.len()]);
                break;
            }
            Limit::Refuse(most) if collected.len() + data.len() > most => {
                return Err(ClientError::TooLarge(most));
            }
            _ => collected.extend_from_slice(&data),
        }
    }
    Ok(Response::from_parts(head, collected.freeze()))
}

fn tls() -> Result<TlsConnector, ClientError> {
    let mut config = rustls::ClientConfig::builder_with_provider(pki::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls(io::Error::other(error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
