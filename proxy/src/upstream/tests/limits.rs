//! Limits of the circuit breaker, and who waits.

use super::*;

/// A server whose answers wait until they are let go.
async fn slow_server() -> (Server, Rc<tokio::sync::Semaphore>) {
    let gate = Rc::new(tokio::sync::Semaphore::new(0));
    let shared = gate.clone();
    let server = Server::new(move |mut stream, _| {
        let gate = shared.clone();
        async move {
            while read_head(&mut stream).await.is_some() {
                gate.acquire().await.unwrap().forget();
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (server, gate)
}

#[test]
fn limits_are_exact_to_the_request() {
    run(async {
        let (server, gate) = slow_server().await;
        let limits = Limits { max_connections: 1, max_pending_requests: 1, ..Limits::default() };
        let world = Rc::new(world(server.address, |config| config.limits = limits));
        let ask = || {
            let world = world.clone();
            spawn_local(async move { world.fetch(get("/")).await })
        };
        let first = ask();
        while world.used(Resource::Requests) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = ask();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(world.used(Resource::Pending), 1);
        let third = ask().await.unwrap().unwrap_err();
        assert_eq!((third.flag().to_string().as_str(), third.failure), ("UO", Failure::Overflow));
        gate.add_permits(2);
        assert_eq!(first.await.unwrap().unwrap().0, 200);
        assert_eq!(second.await.unwrap().unwrap().0, 200);
        assert_eq!(server.connections.get(), 1);
        assert_eq!(world.cluster.state.stats.upstream_rq_pending_overflow.get(), 1);
    });
}

#[test]
fn requests_over_the_limit_overflow() {
    run(async {
        let (server, gate) = slow_server().await;
        let limits = Limits { max_requests: 2, ..Limits::default() };
        let world = Rc::new(world(server.address, |config| config.limits = limits));
        let asked: Vec<_> = (0..5)
            .map(|_| {
                let world = world.clone();
                spawn_local(async move { world.fetch(get("/")).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.add_permits(5);
        let mut good = 0;
        for one in asked {
            match one.await.unwrap() {
                Ok(_) => good += 1,
                Err(error) => assert_eq!(error.failure, Failure::Overflow),
            }
        }
        assert_eq!(good, 2);
        assert_eq!(world.used(Resource::Requests), 0);
    });
}

#[test]
fn who_waits_gets_another_connection_when_one_breaks() {
    run(async {
        let server = Server::new(|mut stream, number| async move {
            read_head(&mut stream).await;
            if number > 1 {
                stream.write_all(OK.as_bytes()).await.unwrap();
            } else {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
        .await;
        let limits = Limits { max_connections: 1, ..Limits::default() };
        let world = Rc::new(world(server.address, |config| config.limits = limits));
        let first = spawn_local({
            let world = world.clone();
            async move { world.fetch(get("/")).await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        let second = world.fetch(get("/")).await;
        assert!(first.await.unwrap().is_err());
        assert_eq!(second.unwrap().0, 200);
    });
}

#[test]
fn a_client_that_goes_leaves_nothing_behind() {
    run(async {
        let (server, _gate) = slow_server().await;
        let world = world(server.address, |_| {});
        let slow = tokio::time::timeout(Duration::from_millis(30), world.send(get("/"))).await;
        assert!(slow.is_err());
        assert_eq!((world.used(Resource::Connections), world.used(Resource::Requests)), (0, 0));
        assert_eq!(world.endpoint.state.active(), 0);
        assert_eq!(world.cluster.state.stats.upstream_rq_cancelled.get(), 1);
    });
}
