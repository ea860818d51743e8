//! Connections that are carried byte by byte.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proxy::snapshot::{
    listener::{ChainMatch, Inspector, Network, Transport},
    tcp::TcpProxy,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::rig::{Backend, Rig, body, chain, free_address, listener, manager, read_all, to};

async fn backend<F, R>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn rig(backend: SocketAddr, change: impl FnOnce(&mut TcpProxy)) -> Rig {
    let rig = Rig::start();
    rig.clusters(&[("b", &[backend])], |_| {});
    let mut proxy = TcpProxy::to_cluster("b");
    change(&mut proxy);
    let chain = chain("tcp", ChainMatch::default(), Network::Tcp(Arc::new(proxy)));
    rig.listen(listener(rig.address, vec![chain])).await;
    rig
}

/// Says hello first, then answers with the number of bytes it got once the client has no more.
async fn greeting_counter(mut stream: TcpStream) {
    stream.write_all(b"hello\n").await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    stream.write_all(format!("{} bytes", bytes.len()).as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_server_may_speak_first_and_a_client_may_close_its_half() {
    let rig = rig(backend(greeting_counter).await, |_| {}).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let mut hello = [0; 6];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello\n");
    stream.write_all(b"12345").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, "5 bytes");
}

#[tokio::test]
async fn much_passes_unharmed() {
    let address = backend(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let rig = rig(address, |_| {}).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sent: Vec<u8> = (0..32 << 20).map(|n: u32| (n % 251) as u8).collect();
    let expected = sent.clone();
    tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    assert!(received == expected, "{} bytes came back", received.len());
}

#[tokio::test]
async fn an_idle_connection_is_ended() {
    let rig =
        rig(backend(greeting_counter).await, |proxy| proxy.idle_timeout = Some(Duration::from_millis(300)))
            .await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(read_all(&mut stream).await, "hello\n");
}

#[tokio::test]
async fn a_connection_without_upstream_is_closed() {
    let rig = rig(free_address(), |_| {}).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn the_first_bytes_choose_the_chain() {
    let rig = Rig::start();
    let http = Backend::describing("http").await;
    rig.clusters(&[("http", &[http.address]), ("tcp", &[backend(greeting_counter).await])], |_| {});
    let tls = ChainMatch { transport_protocol: Some(Transport::Tls), ..ChainMatch::default() };
    let detected = ChainMatch {
        application_protocols: ["http/1.0", "http/1.1", "h2c"].map(Into::into).to_vec(),
        ..ChainMatch::default()
    };
    let tcp = || Network::Tcp(Arc::new(TcpProxy::to_cluster("tcp")));
    let mut listener = listener(
        rig.address,
        vec![
            chain("tls", tls, tcp()),
            chain("http", detected, Network::Http(Arc::new(manager(vec![to("http")])))),
            chain("tcp", ChainMatch::default(), tcp()),
        ],
    );
    listener.tls_inspector = Some(Inspector::default());
    listener.http_inspector = Some(Inspector::default());
    rig.listen(listener).await;

    assert!(body(&rig.get("/").await).starts_with("http\n"));
    for bytes in [&b"*1\r\n$4\r\nPING\r\n"[..], b"\x16\x03\x01\x00\x05garbage", b"GET / FTP/1\r\n"] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_all(&mut stream).await;
        assert_eq!(answer, format!("hello\n{} bytes", bytes.len()), "{bytes:?}");
    }
    // In pieces, as a slow network might deliver it.
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    for piece in ["GE", "T / HT", "TP/1.1\r\nhost: a\r\nconnec", "tion: close\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(body(&read_all(&mut stream).await).starts_with("http\n"));
}

#[tokio::test]
async fn a_silent_client_of_a_declared_tcp_port_is_not_waited_for() {
    let rig = Rig::start();
    rig.clusters(&[("tcp", &[backend(greeting_counter).await])], |_| {});
    let matching = |transport| ChainMatch { transport_protocol: Some(transport), ..ChainMatch::default() };
    let tcp = || Network::Tcp(Arc::new(TcpProxy::to_cluster("tcp")));
    let mut listener = listener(
        rig.address,
        vec![
            chain("tls", matching(Transport::Tls), tcp()),
            chain("plain", matching(Transport::RawBuffer), tcp()),
        ],
    );
    listener.tls_inspector = Some(Inspector::default());
    listener.http_inspector = Some(Inspector::default());
    rig.listen(listener).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let mut hello = [0; 6];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello\n");
}

#[tokio::test]
async fn a_client_that_is_slow_to_begin_tls_is_waited_for_where_no_server_speaks() {
    let rig = Rig::start();
    rig.clusters(&[("tls", &[backend(greeting_counter).await]), ("nobody", &[free_address()])], |_| {});
    let matching = |transport| ChainMatch { transport_protocol: Some(transport), ..ChainMatch::default() };
    let to = |cluster: &str| Network::Tcp(Arc::new(TcpProxy::to_cluster(cluster)));
    let chains = vec![
        chain("tls", matching(Transport::Tls), to("tls")),
        chain("plain", matching(Transport::RawBuffer), to("nobody")),
    ];
    let mut listener = listener(rig.address, chains);
    listener.tls_inspector = Some(Inspector::default());
    rig.listen(listener).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stream.write_all(b"\x16\x03\x01\x00\x05garbage").await.unwrap();
    stream.shutdown().await.unwrap();
    // What only looked like TLS has no server.
    assert_eq!(read_all(&mut stream).await, "");

    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let hello = crate::tls::hello();
    stream.write_all(&hello).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, format!("hello\n{} bytes", hello.len()));

    // One that says nothing at all is told that nobody is there.
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
}
