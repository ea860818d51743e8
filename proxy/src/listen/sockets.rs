//! Listening sockets: one per worker and address, opened and closed as the configuration says.

use std::{cell::RefCell, collections::HashMap, io, net::SocketAddr, rc::Rc, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{runtime::Worker, snapshot::Listeners};

const BACKLOG: i32 = 4096;
/// After the system ran out of descriptors, accepting again at once would only spin.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The sockets of one worker.
#[derive(Debug, Default)]
pub struct Sockets(RefCell<HashMap<SocketAddr, JoinHandle<()>>>);

impl Sockets {
    /// Opens what is missing and closes what isn't wanted any more. Returns the addresses that could not be opened.
    pub fn follow(&self, worker: &Rc<Worker>, listeners: &Listeners) -> Vec<(SocketAddr, io::Error)> {
        let mut open = self.0.borrow_mut();
        open.retain(|address, accepting| {
            let wanted = listeners.bound_to(*address).is_some();
            if !wanted {
                accepting.abort();
            }
            wanted
        });
        let mut failed = Vec::new();
        for address in listeners.bound().flat_map(|listener| &listener.addresses) {
            if open.contains_key(address) {
                continue;
            }
            match bind(*address) {
                Ok(socket) => {
                    let accepting = tokio::task::spawn_local(accept(worker.clone(), socket, *address));
                    open.insert(*address, accepting);
                }
                Err(error) => failed.push((*address, error)),
            }
        }
        failed
    }

    /// Closes all of them.
    pub fn close(&self) {
        for (_, accepting) in self.0.borrow_mut().drain() {
            accepting.abort();
        }
    }
}

/// A listening socket that shares its address with the other workers'.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(worker: Rc<Worker>, socket: TcpListener, address: SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                if worker.full() {
                    continue;
                }
                tokio::task::spawn_local(super::connection(worker.clone(), stream, address));
            }
            // The client gave up before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%address, %error, "cannot accept connections; raise the limit of open files");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}
