//! From an accepted socket to a connection that something serves.
//!
//! [`connection`] is the whole story: where did it want to go, whose listener is that, what does it speak, which
//! filter chain takes it, TLS, and then `request` or `tcp`. The sockets are opened by [`sockets`].

pub mod detect;
pub mod lifetime;
pub mod original;
pub mod sockets;
pub mod stream;
pub mod tls;

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use tokio::net::TcpStream;

use self::{
    detect::{Detected, Questions, Undetected},
    original::Ends,
    stream::Stream,
};
use crate::{
    request::{
        self,
        outcome::{Connection, TlsFacts},
    },
    runtime::Worker,
    snapshot::listener::{ConnectionView, FilterChain, Listener, Network},
    tcp,
};

/// Serves one accepted connection to the listener that is bound to `address`.
pub async fn connection(worker: Rc<Worker>, mut stream: TcpStream, address: SocketAddr) {
    let _counted = worker.shared.drain.count();
    let listeners = worker.snapshot().listeners.clone();
    // A listener that has just been removed serves nobody.
    let Some(bound) = listeners.bound_to(address) else { return };
    let Ok(ends) = original::ends(&stream, bound.original_destination) else { return };
    let _ = stream.set_nodelay(true);
    let listener = owner(&listeners, bound, ends);

    drop(listeners);

    let mut questions = Questions::of(&listener, ends.destination.port());
    loop {
        let detected = match detect::detect(&mut stream, questions).await {
            Ok(detected) => detected,
            Err(why) => return given_up(&listener, ends, &why),
        };
        let Some(chain) = choose(&listener, ends, &detected) else {
            return tcp::refused(&worker, facts(&worker, &listener, None, ends, &detected, None), &listener);
        };
        match &chain.network {
            Network::Tcp(proxy) if detected.silent && chain.tls.is_none() => {
                let facts = facts(&worker, &listener, Some(&chain), ends, &detected, None);
                let signal = worker.enter(&listener, &chain);
                match tcp::serve_silent(&worker, proxy, facts, stream, signal).await {
                    // The client has something to say after all.
                    Some(back) => stream = back,
                    None => return,
                }
                questions = questions.patient();
            }
            _ => return serve(worker, stream, listener, chain, ends, detected).await,
        }
    }
}

fn choose(listener: &Listener, ends: Ends, detected: &Detected) -> Option<Arc<FilterChain>> {
    let view = ConnectionView {
        destination: ends.destination,
        source: ends.remote.ip(),
        server_name: &detected.server_name,
        transport: detected.transport,
        protocols: &detected.protocols,
    };
    listener.chains.find(&view).cloned()
}

/// The listener whose destination this is, if connections are handed on; else the one that accepted.
fn owner(listeners: &crate::snapshot::Listeners, bound: &Arc<Listener>, ends: Ends) -> Arc<Listener> {
    let other = if bound.hand_off && ends.redirected { listeners.owner(ends.destination) } else { None };
    other.unwrap_or(bound).clone()
}

/// Terminates TLS if the chain says so, and hands the connection to what the chain does with it.
async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    listener: Arc<Listener>,
    chain: Arc<FilterChain>,
    ends: Ends,
    mut detected: Detected,
) {
    let carries_http = matches!(chain.network, Network::Http(_));
    let (stream, tls) = match (&chain.tls, detected.hello.take()) {
        (None, _) => (Stream::plain(stream, std::mem::take(&mut detected.bytes)), None),
        (Some(context), Some(hello)) => {
            let timeout = chain.transport_timeout;
            let offers = &detected.protocols;
            let accepted =
                tls::accept(&worker.tls, context, carries_http, offers, hello, stream, timeout).await;
            match accepted {
                Ok((stream, facts)) => (Stream::tls(stream), Some(facts)),
                Err(error) => {
                    tracing::debug!(listener = %listener.name, remote = %ends.remote, %error, "handshake failed");
                    return;
                }
            }
        }
        // TLS is wanted and this isn't.
        (Some(_), None) => return,
    };
    let facts = facts(&worker, &listener, Some(&chain), ends, &detected, tls);
    let signal = worker.enter(&listener, &chain);
    drop(detected);
    match &chain.network {
        Network::Http(manager) => {
            request::server::serve(worker, manager.clone(), facts, stream, signal).await;
        }
        Network::Tcp(proxy) => tcp::serve(worker, proxy.clone(), facts, stream, signal).await,
    }
}

fn facts(
    worker: &Worker,
    listener: &Listener,
    chain: Option<&FilterChain>,
    ends: Ends,
    detected: &Detected,
    tls: Option<TlsFacts>,
) -> Rc<Connection> {
    let carries_http1 =
        tls.as_ref().is_some_and(|tls| tls.alpn.as_deref().is_some_and(|alpn| alpn == tls::TRYSAIL_H2));
    Rc::new(Connection {
        id: worker.next_connection_id(),
        direction: listener.direction,
        remote: ends.remote,
        local: ends.destination,
        redirected: ends.redirected,
        server_name: (!detected.server_name.is_empty()).then(|| detected.server_name.as_str().into()),
        tls,
        carries_http1,
        listener: listener.name.clone(),
        chain: chain.map(|chain| chain.name.clone()).unwrap_or_default(),
    })
}

fn given_up(listener: &Listener, ends: Ends, why: &Undetected) {
    tracing::debug!(listener = %listener.name, remote = %ends.remote, %why, "connection given up");
}
