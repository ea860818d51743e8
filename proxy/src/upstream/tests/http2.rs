//! HTTP/2 in plaintext.

use super::*;

#[test]
fn http2_requests_share_a_connection_at_the_same_time() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let world = Rc::new(world(server.address, http2));
        let large = "x".repeat(300_000);
        let asked: Vec<_> = (0..20)
            .map(|number| {
                let (world, large) = (world.clone(), large.clone());
                spawn_local(async move {
                    let request = Request::post(format!("http://app/{number}")).version(Version::HTTP_2);
                    world.fetch(request.body(RequestBody::full(large)).unwrap()).await.unwrap()
                })
            })
            .collect();
        for (number, one) in asked.into_iter().enumerate() {
            assert_eq!(one.await.unwrap(), (200, format!("POST http://app/{number} {large}")));
        }
        assert_eq!(server.connections.get(), 1);
        assert_eq!(world.used(Resource::Requests), 0);
    });
}

#[test]
fn http2_opens_another_connection_when_streams_run_out() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let few = |config: &mut ClusterConfig| {
            http2(config);
            config.http.max_concurrent_streams = std::num::NonZeroU32::new(2);
        };
        let world = world(server.address, few);
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(world.send(get("/")).await.unwrap());
        }
        assert_eq!(server.connections.get(), 3);
        drop(held);
        assert_eq!(world.used(Resource::Requests), 0);
    });
}

#[test]
fn http2_resets_are_told_apart() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let world = world(server.address, http2);
        let refused = world.send(get("/refuse")).await.unwrap_err();
        assert_eq!(refused.failure, Failure::RefusedStream);
        let reset = world.send(get("/reset")).await.unwrap_err();
        assert_eq!((reset.failure, reset.flag().to_string().as_str()), (Failure::Reset { sent: true }, "UR"));
        assert_eq!(world.fetch(get("/fine")).await.unwrap().0, 200);
        assert_eq!(server.connections.get(), 1);
    });
}
