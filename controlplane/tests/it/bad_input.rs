//! Objects that are wrong, or too much: each is answered by name, and what everybody else is sent stays as it is.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use xds::ResourceType::{Cluster, Endpoints, Listener, Route, VirtualHost};

use crate::pages;
use crate::stage::{Proxy, Stage, ask, names, node, service, slice};

/// What a proxy is sent because of a bad object may take this long, in a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(20);

struct Bad {
    what: &'static str,
    yaml: String,
    /// The object, as it is listed, and parts of what is said about it.
    object: &'static str,
    said: &'static [&'static str],
    /// What resources that change because of it are about; nothing else may change.
    about: &'static [&'static str],
}

fn istio(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Bad> {
    let route =
        |host: &str, to: &str| format!("{{hosts: [{host}], http: [{{route: [{{destination: {to}}}]}}]}}");
    let mut many = String::from("{hosts: [many.example.com], http: [");
    for index in 0..10_000 {
        let _ = write!(
            many,
            "{{match: [{{uri: {{exact: /{index}}}}}], route: [{{destination: {{host: missing}}}}]}},"
        );
    }
    many.push_str("]}");
    vec![
        Bad {
            what: "two rules for one host",
            yaml: istio("VirtualService", "second", &route("bb", "{host: bb}")),
            object: "VirtualService shop/second",
            said: &["VirtualService shop/first is older", "move the rules there"],
            about: &[],
        },
        Bad {
            what: "a subset that nobody defines",
            yaml: istio("VirtualService", "subset", &route("subset.example.com", "{host: bb, subset: v9}")),
            object: "VirtualService shop/subset",
            said: &["spec.http[0].route[0].destination.subset", "has no subset v9"],
            about: &["subset.example.com"],
        },
        Bad {
            what: "delegates in a circle",
            yaml: [
                istio("VirtualService", "one", "{hosts: [one.example.com], http: [{delegate: {name: two}}]}"),
                istio("VirtualService", "two", "{hosts: [two.example.com], http: [{delegate: {name: one}}]}"),
            ]
            .join("---\n"),
            object: "VirtualService shop/one",
            said: &["delegates back to this one"],
            about: &["one.example.com", "two.example.com"],
        },
        Bad {
            what: "a wildcard that overlaps with a wildcard of the same object",
            yaml: istio(
                "VirtualService",
                "wild",
                "{hosts: ['*.w.example.com', 'a.w.example.com'], http: [{route: [{destination: {host: bb}}]}]}",
            ),
            object: "VirtualService shop/wild",
            said: &["overlap; keep one"],
            about: &[],
        },
        Bad {
            what: "ten thousand rules in one object, all to nowhere",
            yaml: istio("VirtualService", "many", &many),
            object: "VirtualService shop/many",
            said: &["no service has the host missing.shop.svc.cluster.local", "and 47 more"],
            about: &["many.example.com"],
        },
        Bad {
            what: "an expression of one mebibyte",
            yaml: istio(
                "VirtualService",
                "long",
                &format!(
                    "{{hosts: [long.example.com], http: [{{match: [{{uri: {{regex: '{}'}}}}], route: [{{destination: {{host: bb}}}}]}}]}}",
                    "a".repeat(1 << 20)
                ),
            ),
            object: "VirtualService shop/long",
            said: &["has 1048576 characters; at most 1024"],
            about: &[],
        },
        Bad {
            what: "an entry without endpoints",
            yaml: istio(
                "ServiceEntry",
                "empty",
                "{hosts: [empty.example.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}",
            ),
            object: "ServiceEntry shop/empty",
            said: &["spec.endpoints"],
            about: &["empty.example.com"],
        },
        Bad {
            what: "a host in the wrong namespace",
            yaml: istio("VirtualService", "bank/far", &route("far.example.com", "{host: bb}")),
            object: "VirtualService bank/far",
            said: &["did you mean bb.shop.svc.cluster.local", "the object's own namespace"],
            about: &["far.example.com"],
        },
        Bad {
            what: "a duplicate of a subset, and a second policy",
            yaml: istio(
                "DestinationRule",
                "rule-2",
                "{host: bb, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {version: v1}}]}",
            ),
            object: "DestinationRule shop/rule-2",
            said: &["DestinationRule shop/rule-1", "is older"],
            about: &[],
        },
        Bad {
            what: "a header with an operator that nobody knows",
            yaml: istio(
                "VirtualService",
                "header",
                "{hosts: [header.example.com], http: [{headers: {request: {set: {x-a: '%FOO%'}}}, route: [{destination: {host: bb}}]}]}",
            ),
            object: "VirtualService shop/header",
            said: &[
                "spec.http[0].headers.request.set[x-a]",
                "%FOO% is no operator",
                "write %% for a percent sign",
            ],
            about: &["header.example.com"],
        },
        Bad {
            what: "a broken format of access logs",
            yaml: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                   data: {mesh: \"accessLogFormat: '%NOPE%'\"}"
                .to_owned(),
            object: "MeshConfig mesh",
            said: &["accessLogFormat", "%NOPE% is no operator", "the default format is used"],
            about: &[],
        },
    ]
}

/// Names of everything that the proxy is sent because of what was written so far.
///
/// A service that comes and goes after it is a mark: what is sent before the end
/// of its cluster is all, however long a busy machine takes.
async fn changed(proxy: &mut Proxy, stage: &Stage) -> Vec<String> {
    const CLUSTER: &str = "outbound|80||mark.shop.svc.cluster.local";
    stage.write("mark", &service("mark"));
    let mut all = until(proxy, |response| names(response).contains(&CLUSTER)).await;
    stage.remove("mark");
    all.extend(until(proxy, |response| response.removed_resources.iter().any(|name| name == CLUSTER)).await);
    all.retain(|name| !name.contains("mark.shop"));
    all
}

/// Names of everything that the proxy is sent up to a response that is waited for.
async fn until(proxy: &mut Proxy, is_last: impl Fn(&DeltaDiscoveryResponse) -> bool) -> Vec<String> {
    let (started, mut all) = (Instant::now(), Vec::new());
    loop {
        assert!(started.elapsed() < SOON, "the last never came after {all:?}");
        let response = proxy.next().await.unwrap();
        if response.type_url == Cluster.url() {
            // As every proxy does: routes and listeners wait for it.
            proxy.send(ask(Endpoints, &names(&response))).await;
        }
        all.extend(names(&response).into_iter().map(str::to_owned));
        all.extend(response.removed_resources.clone());
        if is_last(&response) {
            return all;
        }
    }
}

/// What is said about an object, once all of it is.
async fn problem(stage: &Stage, bad: &Bad) -> String {
    let started = Instant::now();
    loop {
        let page = pages::get(stage.running.addresses.monitoring, "/debug/problemz").await.1;
        let problems: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&page).unwrap();
        let about = problems.iter().filter(|(place, _)| place.ends_with(bad.object));
        let mut said = about.filter_map(|(_, said)| said.as_str());
        if let Some(said) = said.find(|said| bad.said.iter().all(|part| said.contains(part))) {
            return said.to_owned();
        }
        assert!(started.elapsed() < SOON, "{}: {:?} is not said: {page}", bad.what, bad.said);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_bad_object_is_answered_and_disturbs_nobody() {
    // Rules that lead nowhere would wait, and with them the proof that they harm nobody.
    let stage = Stage::start(|options| options.rule_hold = Duration::ZERO).await;
    stage.write("bb", &service("bb"));
    stage.write("bb-eps", &slice("bb", "10.1.0.3"));
    let rule = "{host: bb, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {version: v1}}]}";
    stage.write("rule-1", &istio("DestinationRule", "rule-1", rule));
    stage.write(
        "first",
        &istio("VirtualService", "first", "{hosts: [bb], http: [{route: [{destination: {host: bb}}]}]}"),
    );
    let mut proxy = Proxy::connect(stage.plaintext().await, None, node("web-1", "shop")).await.unwrap();
    proxy.send(ask(Listener, &["*"])).await;
    proxy.send(ask(Route, &["80"])).await;
    proxy.send(ask(VirtualHost, &["80/*"])).await;
    proxy.send(ask(Cluster, &["*"])).await;
    until(&mut proxy, |response| names(response).contains(&"virtualOutbound")).await;
    changed(&mut proxy, &stage).await;
    for bad in cases() {
        let started = Instant::now();
        stage.write("bad", &bad.yaml);
        let said = problem(&stage, &bad).await;
        assert!(said.len() < 2000, "{}: {} characters are no help", bad.what, said.len());
        let sent = changed(&mut proxy, &stage).await;
        let stranger = |name: &&String| !bad.about.iter().any(|about| name.contains(about));
        let strangers: Vec<_> = sent.iter().filter(stranger).collect();
        assert!(strangers.is_empty(), "{}: {strangers:?} changed too", bad.what);
        assert!(started.elapsed() < SOON, "{}: {:?}", bad.what, started.elapsed());
        stage.remove("bad");
        changed(&mut proxy, &stage).await;
    }
    let page = pages::get(stage.running.addresses.monitoring, "/debug/problemz").await.1;
    assert!(!page.contains("bad.yaml"), "{page}");
    stage.running.stop().await;
}
