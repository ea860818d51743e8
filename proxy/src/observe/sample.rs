//! Outcomes for tests.

use std::{rc::Rc, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use crate::{
    request::outcome::{Connection, Outcome, PeerCertificate, Protocol, RequestFacts, TlsFacts},
    snapshot::{
        Cluster,
        cluster::{
            ClusterConfig, ClusterOrigin, Discovery, Endpoint, EndpointMetadata, Registry, ServiceRef,
            Workload,
        },
        listener::Direction,
        route::{Action, Forward, Route},
    },
    upstream::Link,
};

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    pairs.iter().map(pair).collect()
}

pub(super) fn connection(direction: Direction) -> Connection {
    Connection {
        id: 7,
        direction,
        remote: "10.0.0.9:41000".parse().unwrap(),
        local: "10.96.0.7:9080".parse().unwrap(),
        redirected: true,
        server_name: None,
        tls: None,
        carries_http1: false,
        listener: "0.0.0.0_9080".into(),
        chain: "".into(),
    }
}

/// A request of productpage to reviews, as the client's proxy saw it.
pub(super) fn outbound() -> Outcome {
    let mut outcome =
        Outcome::new(Rc::new(connection(Direction::Outbound)), Protocol::Http11, Instant::now());
    outcome.request = Some(RequestFacts {
        method: Method::GET,
        path: "/reviews/0?full=1".parse().unwrap(),
        authority: "reviews:9080".parse().unwrap(),
        grpc: false,
        headers: Some(Box::new(headers(&[("user-agent", "curl/8.5.0"), ("x-request-id", "abc-123")]))),
    });
    let cluster = cluster();
    outcome.endpoint = Some(Arc::new(Endpoint {
        metadata: Arc::new(EndpointMetadata {
            workload: Some(Workload::parse("reviews-v2;default;reviews;v2;Kubernetes")),
            ..EndpointMetadata::default()
        }),
        ..Endpoint::new(cluster.state.endpoint("10.1.2.3:9080".parse().unwrap()))
    }));
    outcome.cluster = Some(cluster);
    outcome.route = Some(Arc::new(Route {
        name: "default".into(),
        ..Route::new(Action::Forward(Box::new(Forward::to_cluster("x"))))
    }));
    outcome.upstream_local = Some("10.1.0.9:52000".parse().unwrap());
    outcome.link = Some(Rc::new(Link {
        remote: "10.1.2.3:9080".parse().unwrap(),
        local: "10.1.0.9:52000".parse().unwrap(),
        tls: true,
        peer: Some("spiffe://cluster.local/ns/default/sa/reviews".into()),
        local_uri: Some("spiffe://cluster.local/ns/default/sa/productpage".into()),
        protocol: Protocol::Http2,
        alpn: None,
    }));
    answered(&mut outcome);
    outcome
}

/// The same request as the server's proxy saw it.
pub(super) fn inbound() -> Outcome {
    let mut outcome = outbound();
    let peer = PeerCertificate {
        uri: Some("spiffe://cluster.local/ns/shop/sa/productpage".into()),
        ..PeerCertificate::default()
    };
    outcome.connection = Rc::new(Connection {
        tls: Some(TlsFacts {
            version: "TLSv1.3",
            peer: Some(Arc::new(peer)),
            local_uri: Some("spiffe://cluster.local/ns/default/sa/reviews".into()),
            ..TlsFacts::default()
        }),
        ..connection(Direction::Inbound)
    });
    outcome.link = None;
    outcome
}

pub(super) fn cluster() -> Arc<Cluster> {
    let service = ServiceRef {
        host: "reviews.default.svc.cluster.local".into(),
        name: "reviews".into(),
        namespace: "default".into(),
    };
    let origin = ClusterOrigin { services: vec![service], ..ClusterOrigin::default() };
    let config = ClusterConfig { origin, ..ClusterConfig::new(Discovery::Static) };
    let name = "outbound|9080||reviews.default.svc.cluster.local";
    Arc::new(Cluster::new(name, config, Arc::default(), &Registry::new()))
}

fn answered(outcome: &mut Outcome) {
    outcome.status = Some(StatusCode::OK);
    outcome.details = "via_upstream".into();
    outcome.response_headers = Some(Box::new(headers(&[("x-envoy-upstream-service-time", "4")])));
    outcome.duration = Duration::from_millis(6);
    outcome.bytes_sent = 295;
    outcome.request_head_bytes = 140;
    outcome.response_head_bytes = 160;
    outcome.attempts = 1;
}
