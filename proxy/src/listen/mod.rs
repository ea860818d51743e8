//! From an accepted socket to a connection that something serves.
//!
//! [`connection`] is the whole story: where did it want to go, whose listener is that, what does it speak, which
//! filter chain takes it, TLS, and then `request` or `tcp`. The sockets are opened by [`sockets`].
//!
//! Preparing and serving are futures of their own, so that a connection holds only the state of what it is in.

pub mod detect;
pub mod lifetime;
pub mod original;
pub mod sockets;
pub mod stream;
pub mod tls;

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use self::{
    detect::{Detected, Questions, Undetected},
    original::Ends,
    stream::Stream,
};
use crate::{
    drain::Signal,
    proxy_protocol,
    request::{
        self,
        outcome::{Connection, TlsFacts},
    },
    runtime::Worker,
    snapshot::listener::{ConnectionView, FilterChain, Listener, Network},
    tcp,
};

/// Time for a PROXY header to come.
const HEADER: Duration = Duration::from_secs(15);

/// A connection that is ready to be served.
struct Ready {
    network: Network,
    facts: Rc<Connection>,
    stream: Stream,
    signal: Rc<Signal>,
}

/// Serves one accepted connection to the listener that is bound to `address`.
pub async fn connection(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr) {
    let _counted = worker.shared.drain.count();
    let Some(ready) = Box::pin(prepare(&worker, stream, address)).await else { return };
    let Ready { network, facts, stream, signal } = *ready;
    match network {
        Network::Http(manager) => {
            Box::pin(request::server::serve(worker, manager, facts, stream, signal)).await;
        }
        Network::Tcp(proxy) => Box::pin(tcp::serve(worker, proxy, facts, stream, signal)).await,
    }
}

/// Finds out what the connection is, chooses its chain and terminates TLS. `None`: it is over already.
async fn prepare(worker: &Rc<Worker>, mut stream: TcpStream, address: SocketAddr) -> Option<Box<Ready>> {
    let listeners = worker.snapshot().listeners.clone();
    // A listener that has just been removed serves nobody.
    let bound = listeners.bound_to(address)?;
    let mut ends = original::ends(&stream, bound.original_destination).ok()?;
    let _ = stream.set_nodelay(true);
    if bound.proxy_protocol {
        let header = tokio::time::timeout(HEADER, proxy_protocol::read(&mut stream)).await;
        match header.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            Ok(Some(told)) => ends = Ends { remote: told.source, destination: told.destination, ..ends },
            Ok(None) => {}
            Err(problem) => {
                tracing::debug!(listener = %bound.name, remote = %ends.remote, %problem, "no PROXY header");
                return None;
            }
        }
    }
    let listener = owner(&listeners, bound, ends);
    drop(listeners);

    let mut questions = Questions::of(&listener, ends.destination.port());
    loop {
        let rest = worker.shared.settings.handshake;
        let detected = match detect::detect(&mut stream, questions, rest).await {
            Ok(detected) => detected,
            Err(why) => {
                given_up(&listener, ends, &why);
                return None;
            }
        };
        let Some(chain) = choose(&listener, ends, &detected) else {
            tcp::refused(worker, facts(worker, &listener, None, ends, &detected, None), &listener);
            return None;
        };
        match &chain.network {
            Network::Tcp(proxy) if detected.silent && chain.tls.is_none() => {
                let facts = facts(worker, &listener, Some(&chain), ends, &detected, None);
                let signal = worker.enter(&listener, &chain);
                // If the client has something to say after all, that may choose another chain.
                stream = tcp::serve_silent(worker, proxy, facts, stream, signal).await?;
                questions = questions.patient(rest);
            }
            _ => return terminate(worker, stream, &listener, &chain, ends, detected).await,
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

/// Terminates TLS if the chain says so.
async fn terminate(
    worker: &Worker,
    stream: TcpStream,
    listener: &Listener,
    chain: &Arc<FilterChain>,
    ends: Ends,
    mut detected: Detected,
) -> Option<Box<Ready>> {
    let carries_http = matches!(chain.network, Network::Http(_));
    let (stream, tls) = match (&chain.tls, detected.hello.take()) {
        (None, _) => (Stream::plain(stream, std::mem::take(&mut detected.bytes)), None),
        (Some(context), Some(hello)) => {
            let offers = &detected.protocols;
            let timeout = chain.transport_timeout.unwrap_or(worker.shared.settings.handshake);
            let accepted =
                tls::accept(&worker.tls, context, carries_http, offers, hello, stream, timeout).await;
            match accepted {
                Ok((stream, facts)) => (Stream::tls(stream), Some(facts)),
                Err(error) => {
                    tracing::debug!(listener = %listener.name, remote = %ends.remote, %error, "handshake failed");
                    return None;
                }
            }
        }
        // TLS is wanted and this isn't.
        (Some(_), None) => return None,
    };
    Some(Box::new(Ready {
        network: chain.network.clone(),
        facts: facts(worker, listener, Some(chain), ends, &detected, tls),
        stream,
        signal: worker.enter(listener, chain),
    }))
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
