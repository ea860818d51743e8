//! When connections end.

use super::*;

#[test]
fn connections_end_after_their_requests_and_when_idle() {
    run(async {
        let server = Server::answering(OK).await;
        let two = world(server.address, |config| {
            config.http.max_requests_per_connection = std::num::NonZeroU32::new(2);
        });
        for _ in 0..5 {
            two.fetch(get("/")).await.unwrap();
        }
        assert_eq!(server.connections.get(), 3);
        let idle = world(server.address, |config| config.http.idle_timeout = Some(Duration::from_millis(30)));
        idle.fetch(get("/")).await.unwrap();
        idle.sweep();
        assert_eq!(idle.used(Resource::Connections), 1);
        tokio::time::sleep(Duration::from_millis(40)).await;
        idle.sweep();
        assert_eq!(idle.used(Resource::Connections), 0);
        idle.sweep();
        idle.sweep();
        assert!(idle.upstreams.clusters.borrow().is_empty(), "nothing is kept for an unused cluster");
    });
}

#[test]
fn a_new_configuration_uses_new_connections_only_if_it_must() {
    run(async {
        let server = Server::answering(OK).await;
        let mut world = world(server.address, |_| {});
        world.fetch(get("/")).await.unwrap();
        let same = Cluster { config: Arc::new((*world.cluster.config).clone()), ..(*world.cluster).clone() };
        world.cluster = Arc::new(same);
        world.fetch(get("/")).await.unwrap();
        assert_eq!(server.connections.get(), 1);
        let mut config = (*world.cluster.config).clone();
        config.http.idle_timeout = None;
        world.cluster = Arc::new(Cluster { config: Arc::new(config), ..(*world.cluster).clone() });
        world.fetch(get("/")).await.unwrap();
        assert_eq!(server.connections.get(), 2);
        assert_eq!(world.used(Resource::Connections), 1);
    });
}

#[test]
fn connections_to_endpoints_that_are_gone_are_closed() {
    run(async {
        let server = Server::answering(OK).await;
        let mut world = world(server.address, |_| {});
        world.fetch(get("/")).await.unwrap();
        world.cluster = Arc::new(world.cluster.with_endpoints(Arc::default()));
        world.sweep();
        assert_eq!(world.used(Resource::Connections), 0);
    });
}

#[test]
fn http2_connections_give_back_what_they_used_when_nobody_needs_them() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let mut world = world(server.address, http2);
        let left = async |world: &World, most: u32| {
            while world.used(Resource::Connections) > most {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        world.fetch(get("/")).await.unwrap();
        let mut config = (*world.cluster.config).clone();
        config.http.idle_timeout = None;
        let all = world.cluster.endpoints.clone();
        world.cluster = Arc::new(Cluster { config: Arc::new(config), ..(*world.cluster).clone() });
        world.fetch(get("/")).await.unwrap();
        left(&world, 1).await;
        world.cluster = Arc::new(world.cluster.with_endpoints(Arc::default()));
        world.sweep();
        left(&world, 0).await;
        world.cluster = Arc::new(world.cluster.with_endpoints(all));
        world.fetch(get("/")).await.unwrap();
        assert_eq!(server.connections.get(), 3);
    });
}
