//! Garbage, silence and floods at every port: refused, and nobody else notices.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::{Proxy, Stage, ask, names, node};
use xds::ResourceType;

fn local(mut address: SocketAddr) -> SocketAddr {
    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    address
}

async fn throw(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other end may hang up in the middle, which is fine.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut answer)).await;
}

#[tokio::test]
async fn garbage_at_any_port_harms_nobody() {
    let stage = Stage::new().await;
    let addresses = stage.running.addresses;
    let h2_then_garbage = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0xff; 4096]].concat();
    let endless_header = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &vec![b'a'; 1 << 20]].concat();
    let garbage: [&[u8]; 6] =
        [b"", b"\0\0\0\0", &[0xff; 9000], b"GET /x HTTP/9\r\n\r\n", &h2_then_garbage, &endless_header];
    let ports =
        [addresses.plaintext, addresses.secure, addresses.monitoring, addresses.webhook, addresses.http];
    for port in ports {
        for bytes in garbage {
            throw(local(port), bytes).await;
        }
    }
    let mut proxy =
        Proxy::connect(stage.secure(None).await, Some("web-token"), node("web-1", "shop")).await.unwrap();
    assert!(!names(&proxy.next().await.unwrap()).is_empty());
}

#[tokio::test]
async fn a_stream_that_asks_for_too_much_ends_with_a_reason() {
    let stage = Stage::new().await;
    let mut proxy = Proxy::connect(stage.plaintext().await, None, node("web-1", "shop")).await.unwrap();
    proxy.next().await.unwrap();
    let long = "x".repeat(5000);
    proxy.send(ask(ResourceType::Endpoints, &[&long])).await;
    let status = proxy.next().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(status.message().contains("5000 bytes"), "{status}");
}

#[tokio::test]
async fn proxies_that_never_read_hold_nobody_up() {
    let stage = Stage::new().await;
    let mut slow = Vec::new();
    for n in 0..20 {
        slow.push(
            Proxy::connect(stage.plaintext().await, None, node(&format!("slow-{n}"), "shop")).await.unwrap(),
        );
    }
    let mut proxy = Proxy::connect(stage.plaintext().await, None, node("web-1", "shop")).await.unwrap();
    proxy.next().await.unwrap();
    for n in 0..50 {
        stage.write("extra", &crate::stage::service(&"s".repeat(n % 7 + 1)));
    }
    stage.write("extra", &crate::stage::service("last"));
    let found = async {
        loop {
            let response = proxy.next().await.unwrap();
            if names(&response).contains(&"outbound|80||last.shop.svc.cluster.local") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), found).await.unwrap();
}
