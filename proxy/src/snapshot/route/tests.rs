//! Which virtual host and route take which request.

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::snapshot::{
    matcher::{HeaderMatch, HeaderSource, HeaderValueMatch, QueryMatch, RequestView, StringMatch},
    path::PathMatch,
};

fn host(name: &str, domains: &[&str]) -> Arc<VirtualHost> {
    let domains = domains.iter().map(|domain| (*domain).into()).collect();
    Arc::new(VirtualHost::new(name, domains, Vec::new()).unwrap())
}

fn name(found: Option<&Arc<VirtualHost>>) -> &str {
    found.map_or("-", |host| &host.name)
}

#[test]
fn the_most_specific_domain_wins() {
    let mut table = RouteTable::new(
        "80",
        [
            host("exact", &["reviews.default", "reviews:9080", "10.96.0.7"]),
            host("suffix", &["*.example.com"]),
            host("longer", &["*.eu.example.com"]),
            host("prefix", &["www.*"]),
            host("any", &["*"]),
        ],
    )
    .unwrap();
    for (authority, expected) in [
        ("reviews.default", "exact"),
        ("REVIEWS.Default", "exact"),
        ("reviews:9080", "exact"),
        ("reviews.default:9080", "any"),
        ("a.example.com", "suffix"),
        ("example.com", "any"),
        (".example.com", "any"),
        ("a.eu.example.com", "longer"),
        ("www.example.org", "prefix"),
        ("www.example.com", "suffix"),
        ("", "any"),
    ] {
        assert_eq!(name(table.host(authority)), expected, "{authority}");
    }
    table.ignore_port = true;
    assert_eq!(name(table.host("reviews.default:9080")), "exact");
    assert_eq!(name(table.host("[::1]:80")), "any");
}

#[test]
fn virtual_hosts_are_replaced_one_by_one() {
    let table = RouteTable::new("80", [host("a", &["a.test", "*"]), host("b", &["b.test"])]).unwrap();
    let table = table.with_hosts([host("a", &["a.test", "b.test"])], &["b".into()]).unwrap();
    assert_eq!(name(table.host("b.test")), "a");
    assert_eq!(name(table.host("c.test")), "-");
    assert_eq!(table.hosts().count(), 1);
}

#[test]
fn a_domain_has_one_owner_and_wildcards_stand_at_one_end() {
    let twice = RouteTable::new("80", [host("a", &["x.test"]), host("b", &["X.test"])]).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "virtual host \"b\": domain \"X.test\" belongs to virtual host \"a\" already; remove one"
    );
    for domain in ["a*b", "*a*", "a.*.b"] {
        assert!(RouteTable::new("80", [host("a", &[domain])]).is_err(), "{domain}");
    }
}

#[test]
fn ports_are_cut_off_but_addresses_are_not() {
    for (authority, expected) in
        [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("::1", "::1"), ("a:b", "a:b")]
    {
        assert_eq!(without_port(authority), expected);
    }
}

fn route(name: &str, path: PathMatch, conditions: Conditions) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        path: PathCondition { path, ignore_case: false },
        conditions: Some(Box::new(conditions)),
        ..Route::new(Action::Forward(Box::new(Forward::to_cluster("c"))))
    })
}

fn header(name: &'static str, value: StringMatch) -> HeaderMatch {
    HeaderMatch {
        source: HeaderSource::Header(HeaderName::from_static(name)),
        value: HeaderValueMatch::String(value),
        invert: false,
        missing_is_empty: false,
    }
}

#[test]
fn the_first_route_whose_conditions_all_hold_wins() {
    let jason = Conditions {
        headers: vec![header("end-user", StringMatch::exact("jason", false))],
        ..Conditions::default()
    };
    let not_jason = Conditions {
        headers: vec![HeaderMatch {
            invert: true,
            missing_is_empty: true,
            ..header("end-user", StringMatch::exact("jason", false))
        }],
        ..Conditions::default()
    };
    let query = Conditions {
        query: vec![
            QueryMatch { name: "v".into(), value: Some(StringMatch::regex("[0-9]+").unwrap()) },
            QueryMatch { name: "debug".into(), value: None },
        ],
        ..Conditions::default()
    };
    let post = Conditions {
        headers: vec![HeaderMatch {
            source: HeaderSource::Method,
            ..header("x", StringMatch::exact("POST", false))
        }],
        ..Conditions::default()
    };
    let grpc = Conditions { grpc: true, ..Conditions::default() };
    let prefix = |text: &str| PathMatch::Prefix(text.into());
    let host = VirtualHost::new(
        "h",
        vec!["*".into()],
        vec![
            route("jason", prefix("/reviews"), jason),
            route("post", PathMatch::Exact("/reviews".into()), post),
            route("query", prefix("/"), query),
            route("grpc", prefix("/"), grpc),
            route("regex", PathMatch::Regex("/items/[0-9]+".into()), Conditions::default()),
            route("tunnel", PathMatch::Connect, Conditions::default()),
            route("not jason", prefix("/reviews"), not_jason),
        ],
    )
    .unwrap();
    let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    };
    for (method, path, query, headers, expected) in [
        ("GET", "/reviews/1", None, headers(&[("end-user", "jason")]), "jason"),
        ("GET", "/reviews/1", None, headers(&[("end-user", "ann")]), "not jason"),
        ("GET", "/reviews/1", None, headers(&[]), "not jason"),
        ("POST", "/reviews", None, headers(&[]), "post"),
        ("GET", "/other", Some("debug&v=12"), headers(&[]), "query"),
        ("GET", "/other", Some("debug&v=x"), headers(&[]), "-"),
        ("GET", "/other", Some("v=12"), headers(&[]), "-"),
        ("POST", "/other", None, headers(&[("content-type", "application/grpc+proto")]), "grpc"),
        ("POST", "/other", None, headers(&[("content-type", "application/grpc-web")]), "-"),
        ("GET", "/items/7", None, headers(&[]), "regex"),
        ("GET", "/items/7/8", None, headers(&[]), "-"),
        ("CONNECT", "/", None, headers(&[]), "tunnel"),
    ] {
        let request = RequestView { method, authority: "a", scheme: "http", path, query, headers: &headers };
        let found = host.route(&request, &mut || 0).map_or("-", |route| &*route.name);
        assert_eq!(found, expected, "{method} {path} {query:?} {headers:?}");
    }
}

#[test]
fn weights_are_relative() {
    let weighted = Weighted::new(vec![(90, "v1"), (10, "v2"), (0, "v3")]).unwrap();
    let count = |name| (0..1000).filter(|n| *weighted.pick(|| *n) == name).count();
    assert_eq!((count("v1"), count("v2"), count("v3")), (900, 100, 0));
    assert!(Weighted::new(vec![(0, "v1")]).is_none());
    assert!(Weighted::new(vec![(u32::MAX, "v1"), (1, "v2")]).is_none());
}
