//! The echo answers HTTP/1.1, HTTP/2 and big bodies, and obeys its query.

use std::{sync::Arc, time::Duration};

use samples::{
    body,
    client::{Answer, Payload, Route, Template, load, send},
    echo,
    identity::Identity,
};

async fn echo_at() -> String {
    super::started(echo::router(Arc::new(Identity::from_env("echo")))).await
}

async fn get(url: &str, route: &Route) -> Answer {
    send(&Template::get(url).unwrap(), route, Duration::from_secs(20)).await.unwrap()
}

#[tokio::test]
async fn it_reports_what_it_received_in_the_protocol_it_was_asked() {
    let address = echo_at().await;
    for (http2, protocol) in [(false, "HTTP/1.1"), (true, "HTTP/2")] {
        let route = Route { http2, ..Route::default() };
        let template = Template::get(&format!("http://{address}/some/path?a=b"))
            .unwrap()
            .header("x-forwarded-client-cert", "By=spiffe://b;URI=spiffe://a")
            .unwrap();
        let answer = send(&template, &route, Duration::from_secs(5)).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text["protocol"], protocol);
        assert_eq!(answer.text["path"], "/some/path");
        assert_eq!(answer.text["query"], "a=b");
        assert_eq!(answer.text["host"], address);
        assert_eq!(answer.text["peer_certificate"], "By=spiffe://b;URI=spiffe://a");
        assert!(answer.headers.contains_key("x-echo-pod"));
    }
}

#[tokio::test]
async fn it_answers_with_the_status_and_delay_that_the_query_names() {
    let address = echo_at().await;
    let answer = get(&format!("http://{address}/?status=503&delay=50ms"), &Route::default()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.milliseconds >= 50);
    let answer = get(&format!("http://{address}/?delay=soon"), &Route::default()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body_text().contains("is not a duration"));
}

#[tokio::test]
async fn bodies_of_many_megabytes_arrive_whole_in_both_directions() {
    let (address, length) = (echo_at().await, 20 << 20);
    let expected = body::expected(length).await;
    for http2 in [false, true] {
        let route = Route { http2, ..Route::default() };
        let down = get(&format!("http://{address}/?bytes=20MiB"), &route).await;
        assert_eq!(down.body, expected);
        assert_eq!(down.headers["x-body-xxh64"], expected.xxh64);

        let mut up = Template::get(&format!("http://{address}/")).unwrap();
        up.payload = Payload::Pattern(length);
        let reported = send(&up, &route, Duration::from_secs(20)).await.unwrap();
        assert_eq!(reported.text["body"]["xxh64"], expected.xxh64);

        up.uri = format!("http://{address}/mirror").parse().unwrap();
        let mirrored = send(&up, &route, Duration::from_secs(20)).await.unwrap();
        assert_eq!(mirrored.body, expected);
    }
}

#[tokio::test]
async fn load_counts_answers_failures_and_tallies() {
    let address = echo_at().await;
    let plan =
        load::Plan { rps: 200.0, timeout: Duration::from_secs(5), tally: Some("x-echo-version".to_owned()) };
    let run = |url: String| {
        let stop = tokio::time::sleep(Duration::from_millis(500));
        load::run(Template::get(&url).unwrap(), Route::default(), plan.clone(), stop)
    };
    let fine = run(format!("http://{address}/")).await;
    assert!((80..=110).contains(&fine.requests), "{fine:?}");
    assert_eq!((fine.failed, fine.statuses["200"], fine.tally["v1"]), (0, fine.requests, fine.requests));

    let broken = run(format!("http://{address}/?status=503")).await;
    assert_eq!(broken.failed, broken.requests);
    assert!(broken.first_failures[0].contains("503"), "{broken:?}");

    let refused = run("http://127.0.0.1:1/".to_owned()).await;
    assert_eq!(refused.failed, refused.requests);
    assert!(refused.errors.keys().all(|reason| reason.starts_with("connect:")), "{refused:?}");
}
