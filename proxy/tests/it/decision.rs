//! `x-trysail-decision`: what was decided, for those who may ask.

use std::net::{IpAddr, Ipv4Addr};

use proxy::{
    request::callers::Callers,
    runtime::Settings,
    snapshot::route::{Origin, Route},
};

use crate::rig::{Backend, Rig, body, free_address, header, manager, status, to};

const QUESTION: &str = "x-trysail-debug: decision\r\n";

fn allowing(list: &str) -> Settings {
    let debug_callers = Callers::parse(list, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))).unwrap();
    Settings { debug_callers, ..Settings::default() }
}

fn named(cluster: &str) -> Route {
    let mut route = to(cluster);
    route.name = "canary".into();
    let config = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews";
    route.origin = Some(Origin { config: config.into(), rule: "canary".into() });
    route
}

#[tokio::test]
async fn a_caller_who_may_ask_is_told() {
    let backend = Backend::describing("b").await;
    let rig = Rig::start_with(allowing("127.0.0.0/8"));
    rig.clusters(&[("b", &[backend.address])], |_| {});
    rig.serve(manager(vec![named("b")])).await;
    let answer = rig.get_with("/", QUESTION).await;
    assert_eq!(
        header(&answer, "x-trysail-decision"),
        format!(
            "proxy=\"rig\"; listener=\"rig\"; virtual-host=\"all\"; route=\"canary\"; virtual-service=\"shop/reviews\"; \
             rule=\"canary\"; cluster=\"b\"; endpoint=\"{}\"; flags=\"-\"; attempts=1",
            backend.address
        )
    );
    assert!(body(&answer).contains("x-trysail-debug=decision"), "the next proxy is asked too: {answer}");
    assert_eq!(header(&rig.get("/").await, "x-trysail-decision"), "", "nobody asked");
    let other = rig.get_with("/", "x-trysail-debug: everything\r\n").await;
    assert_eq!(header(&other, "x-trysail-decision"), "");
}

#[tokio::test]
async fn requests_that_fail_are_told_about_as_well() {
    let rig = Rig::start_with(allowing("127.0.0.1"));
    rig.clusters(&[("dead", &[free_address()])], |_| {});
    rig.serve(manager(vec![named("dead")])).await;
    let answer = rig.get_with("/", QUESTION).await;
    assert_eq!(status(&answer), 503);
    let told = header(&answer, "x-trysail-decision");
    assert!(told.contains("cluster=\"dead\"") && told.contains("flags=\"UF\""), "{told}");
}

#[tokio::test]
async fn who_may_not_ask_is_not_told() {
    let backend = Backend::describing("b").await;
    // nobody is named; somebody else is; the app of our own pod is, which doesn't come in from outside
    for settings in [Settings::default(), allowing("10.9.0.0/16, spiffe://a/ns/b/sa/c"), allowing("self")] {
        let off = settings.debug_callers.is_none();
        let rig = Rig::start_with(settings);
        rig.clusters(&[("b", &[backend.address])], |_| {});
        rig.serve(manager(vec![named("b")])).await;
        let answer = rig.get_with("/", QUESTION).await;
        assert_eq!((status(&answer), header(&answer, "x-trysail-decision")), (200, ""));
        assert_eq!(body(&answer).contains("x-trysail-debug"), off, "{answer}");
    }
}
