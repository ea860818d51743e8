//! The pages that people and tools read.

use std::net::SocketAddr;

use envoy_types::pb::google::protobuf::{Value, value::Kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xds::ResourceType::{Cluster, Endpoints, NameTable};

use crate::stage::{Proxy, Stage, ask, names, node, service};

/// Status and body.
pub(crate) async fn get(mut address: SocketAddr, path: &str) -> (u16, String) {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn readiness_version_and_metrics_answer() {
    let stage = Stage::new().await;
    assert_eq!(get(stage.running.addresses.http, "/ready").await.0, 200);
    let version = get(stage.running.addresses.monitoring, "/version").await.1;
    assert!(version.starts_with(env!("CARGO_PKG_VERSION")), "{version}");
    let metrics = get(stage.running.addresses.monitoring, "/metrics").await.1;
    for name in [
        "pilot_services 1",
        "citadel_server_root_cert_expiry_timestamp",
        "sidecar_injection_requests_total 0",
        "# EOF",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    assert_eq!(get(stage.running.addresses.http, "/nothing").await.0, 404);
}

#[tokio::test]
async fn who_answers_for_names_is_told_each_by_itself() {
    let stage = Stage::new().await;
    let (resolving, mut node) =
        (Value { kind: Some(Kind::StringValue("true".into())) }, node("web-1", "shop"));
    node.metadata.get_or_insert_default().fields.insert("DNS_CAPTURE".to_owned(), resolving);
    let mut proxy = Proxy::connect(stage.plaintext().await, None, node).await.unwrap();
    proxy.send(ask(NameTable, &[])).await;
    let next_name = async |proxy: &mut Proxy| loop {
        let response = proxy.next().await.unwrap();
        if response.type_url == NameTable.url() {
            return (names(&response).join(" "), response.removed_resources.join(" "));
        }
        if response.type_url == Cluster.url() {
            // As every proxy does: names wait for it.
            proxy.send(ask(Endpoints, &names(&response))).await;
        }
    };
    assert_eq!(next_name(&mut proxy).await, ("a.shop.svc.cluster.local".to_owned(), String::new()));
    stage.write("bb", &service("bb"));
    assert_eq!(next_name(&mut proxy).await, ("bb.shop.svc.cluster.local".to_owned(), String::new()));
    let page = get(stage.running.addresses.monitoring, "/debug/ndsz?proxyID=web-1.shop").await.1;
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let expected = serde_json::json!({ "ips": ["10.96.0.2"], "registry": "Kubernetes" });
    assert_eq!(page["table"]["bb.shop.svc.cluster.local"], expected, "{page}");
    stage.remove("bb");
    assert_eq!(next_name(&mut proxy).await, (String::new(), "bb.shop.svc.cluster.local".to_owned()));
}

#[tokio::test]
async fn debug_pages_show_proxies_and_what_they_were_sent() {
    let stage = Stage::new().await;
    let monitoring = stage.running.addresses.monitoring;
    let mut proxy = Proxy::connect(stage.plaintext().await, None, node("web-1", "shop")).await.unwrap();
    proxy.next().await.unwrap();
    let synced = async || {
        loop {
            let syncz: serde_json::Value =
                serde_json::from_str(&get(monitoring, "/debug/syncz").await.1).unwrap();
            if syncz[0]["cluster_acked"] == syncz[0]["cluster_sent"] {
                return syncz;
            }
        }
    };
    let syncz = tokio::time::timeout(std::time::Duration::from_secs(5), synced()).await.unwrap();
    assert_eq!(syncz[0]["proxy"], "web-1.shop");
    assert_eq!(syncz[0]["cluster_id"], "Kubernetes");
    let dump = get(monitoring, "/debug/config_dump?proxyID=web-1.shop").await;
    assert_eq!(dump.0, 200);
    let dump: serde_json::Value = serde_json::from_str(&dump.1).unwrap();
    assert_eq!(dump["configs"][0]["@type"], "type.googleapis.com/envoy.admin.v3.ClustersConfigDump");
    assert!(dump.to_string().contains("outbound|80||a.shop.svc.cluster.local"));
    assert_eq!(get(monitoring, "/debug/config_dump?proxyID=nobody").await.0, 404);
    assert_eq!(get(monitoring, "/debug/config_dump").await.0, 400);
    for (page, content) in [
        ("registryz", "a.shop.svc.cluster.local"),
        ("endpointz", "10.1.0.1"),
        ("adsz", "web-1.shop"),
        ("list", "syncz"),
    ] {
        let (status, body) = get(monitoring, &format!("/debug/{page}")).await;
        assert!(status == 200 && body.contains(content), "{page}: {status} {body}");
    }
    stage.write("broken", "a: [");
    let problem = async || {
        while !get(monitoring, "/debug/problemz").await.1.contains("broken.yaml") {}
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), problem()).await.unwrap();
}
