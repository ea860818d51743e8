//! Tables over whole resources: what compiles, to what, and what is refused with which words.

mod clusters;
mod listeners;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as cluster_pb;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint_pb;
use envoy_types::pb::envoy::config::listener::v3 as listener_pb;
use envoy_types::pb::envoy::config::route::v3 as route_pb;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls_pb;
use prost::Message;
use serde_json::{Value, json};

use super::*;
use crate::snapshot::cluster::{Discovery, Policy, Registry, Transport};
use crate::snapshot::http::{ForwardClientCert, RouteSource};
use crate::snapshot::listener::{ClientCertificate, ConnectionView, Network, Transport as Carrier};
use crate::snapshot::matcher::RequestView;
use crate::snapshot::route::{Action, Destination, GrpcTimeout, RetryOn};

fn message<M: Message + Default>(type_name: &str, value: &Value) -> M {
    M::decode(&*xds::json::from_json(type_name, value).unwrap()).unwrap()
}

/// `value` with the object at `pointer` replaced or added.
fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = new,
        Value::Object(map) => drop(map.insert(key.to_owned(), new)),
        other => panic!("{other}"),
    }
    value
}

#[test]
fn secrets_compile_and_errors_never_quote_them() {
    let now = std::time::SystemTime::now();
    let (ca, files) = pki::Ca::self_signed("cluster.local", now).unwrap();
    let cert = ca.issue_server(&["web.example".to_owned()], Duration::from_hours(1), now).unwrap();
    let of = |value: Value| {
        secret(&message::<tls_pb::Secret>("envoy.extensions.transport_sockets.tls.v3.Secret", &value), now)
    };
    let pair = |chain: &str, key: &str| {
        json!({"name": "kubernetes://web", "tlsCertificate": {
            "certificateChain": {"inlineString": chain}, "privateKey": {"inlineString": key}}})
    };
    assert!(matches!(of(pair(&cert.chain_pem(), &cert.key_pem())), Ok(CompiledSecret::Certificate(_))));
    let roots =
        json!({"name": "ROOTCA", "validationContext": {"trustedCa": {"inlineString": files.root_cert}}});
    assert!(matches!(of(roots), Ok(CompiledSecret::Roots(bundle)) if bundle.roots().len() == 1));

    let other = ca.issue_server(&["web.example".to_owned()], Duration::from_hours(1), now).unwrap();
    for bad in
        [pair(&cert.chain_pem(), &other.key_pem()), pair("garbage", "secret-key"), json!({"name": "x"})]
    {
        let error = of(bad).unwrap_err().to_string();
        assert!(!error.contains("secret-key") && !error.contains("BEGIN"), "{error}");
    }
}

fn address(ip: &str, port: u16) -> Value {
    json!({"socketAddress": {"address": ip, "portValue": port}})
}
