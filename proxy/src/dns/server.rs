//! The sockets that questions come to. Everything runs on the control thread; how much at a time is bounded.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::answer::{Transport, Verdict, failure, judge};
use super::upstream::{Upstream, framed};
use super::{Counters, Names, PORT, ResolvConf};

/// Questions that may wait for the nameservers at a time.
const MOST_FORWARDED: usize = 512;
/// TCP connections at a time.
const MOST_CONNECTIONS: usize = 64;
/// A TCP connection without a question ends after this (RFC 7766 6.2.3: some seconds).
const IDLE: Duration = Duration::from_secs(10);
/// The largest question: names have 255 bytes, and options are few.
const LARGEST_QUESTION: usize = 4096;

/// What a server works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The names of the mesh.
    pub names: Arc<Names>,
    /// Who knows all others.
    pub resolv_conf: ResolvConf,
    /// Mark on our own packets, so that redirect rules let them through.
    pub packet_mark: Option<u32>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Serving(Vec<AbortHandle>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Answers questions at [`PORT`] of 127.0.0.1, and of ::1 if the pod has it.
///
/// # Errors
/// If the port is taken.
pub async fn start(settings: Settings) -> io::Result<Serving> {
    let upstream = Upstream::new(&settings.resolv_conf.nameservers, settings.packet_mark);
    let server = Server::new(settings, upstream, IDLE);
    let mut serving = Serving(Vec::new());
    server.clone().listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT), &mut serving).await?;
    // Pods without IPv6 have no ::1 either.
    let second: IpAddr = Ipv6Addr::LOCALHOST.into();
    if let Err(error) = server.listen(SocketAddr::new(second, PORT), &mut serving).await
        && error.kind() != io::ErrorKind::AddrNotAvailable
        && error.raw_os_error() != Some(nix::errno::Errno::EAFNOSUPPORT as i32)
    {
        return Err(error);
    }
    Ok(serving)
}

struct Server {
    settings: Settings,
    upstream: Upstream,
    forwarded: Semaphore,
    connections: Arc<Semaphore>,
    /// How long a connection may be without a question.
    idle: Duration,
}

impl Server {
    fn new(settings: Settings, upstream: Upstream, idle: Duration) -> Arc<Self> {
        let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        Arc::new(Self { settings, upstream, forwarded: Semaphore::new(MOST_FORWARDED), connections, idle })
    }

    async fn listen(self: Arc<Self>, address: SocketAddr, serving: &mut Serving) -> io::Result<()> {
        let (udp, tcp) = (UdpSocket::bind(address).await?, TcpListener::bind(address).await?);
        self.serve(udp, tcp, serving);
        Ok(())
    }

    fn serve(self: Arc<Self>, udp: UdpSocket, tcp: TcpListener, serving: &mut Serving) {
        serving.0.push(tokio::spawn(self.clone().datagrams(Arc::new(udp))).abort_handle());
        serving.0.push(tokio::spawn(self.accept(tcp)).abort_handle());
    }

    async fn datagrams(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = [0; LARGEST_QUESTION];
        loop {
            // Errors are those of earlier answers, to askers that are gone.
            let Ok((len, asker)) = socket.recv_from(&mut buffer).await else { continue };
            let question = &buffer[..len];
            match self.judge(question, Transport::Udp) {
                Verdict::Ignore => {}
                Verdict::Answer(answer) => drop(socket.send_to(&answer, asker).await),
                Verdict::PassOn => {
                    let (server, socket, question) = (self.clone(), socket.clone(), question.to_vec());
                    tokio::spawn(async move {
                        if let Some(answer) = server.pass_on(&question, Transport::Udp).await {
                            drop(socket.send_to(&answer, asker).await);
                        }
                    });
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok(permit) = self.connections.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = self.clone();
                    tokio::spawn(async move {
                        // How it ended is the asker's business.
                        drop(server.connection(stream).await);
                        drop(permit);
                    });
                }
                // Out of descriptors, most likely: that passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let question = timeout(self.idle, async {
                let mut question = vec![0; usize::from(stream.read_u16().await?)];
                stream.read_exact(&mut question).await?;
                io::Result::Ok(question)
            });
            let question = question.await??;
            let answer = match self.judge(&question, Transport::Tcp) {
                Verdict::Ignore => return Ok(()),
                Verdict::Answer(answer) => Some(answer),
                Verdict::PassOn => self.pass_on(&question, Transport::Tcp).await,
            };
            let Some(answer) = answer else { return Ok(()) };
            timeout(self.idle, stream.write_all(&framed(&answer))).await??;
        }
    }

    fn judge(&self, question: &[u8], transport: Transport) -> Verdict {
        self.settings.counters.asked();
        judge(question, transport, &self.settings.names, &self.settings.resolv_conf.search)
    }

    /// What a nameserver answers, or that none does.
    async fn pass_on(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let began = Instant::now();
        let answer = match self.forwarded.try_acquire() {
            Ok(_permit) => self.upstream.ask(question, transport).await,
            Err(_) => None,
        };
        self.settings.counters.passed_on(began.elapsed(), answer.is_some());
        answer.or_else(|| failure(question, ResponseCode::ServFail))
    }
}

#[cfg(test)]
mod tests;
