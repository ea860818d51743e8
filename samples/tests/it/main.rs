//! Both apps over real sockets, called by their own client.

#![allow(clippy::unwrap_used, reason = "a test that cannot start should say so at once")]

mod bookinfo;
mod echo;

use axum::Router;
use samples::serve;
use tokio::{net::TcpListener, sync::watch};

/// Serves `router` on a free port until the test's runtime ends; returns `host:port`.
async fn started(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, shutdown) = watch::channel(false);
    tokio::spawn(async move {
        serve::http(listener, router, None, shutdown).await;
        drop(tell);
    });
    address
}
