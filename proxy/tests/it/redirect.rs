//! The init step for real: rules applied in a network namespace of the test's own, and connections made there.

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{getsockopt, sockopt};
use proxy::dns::ResolvConf;
use proxy::redirect::{self, Plan, RedirectFlags, removal, ruleset};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const POD: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 2);
const MARK: u32 = 1337;

fn sh(command: &str) {
    let status = Command::new("sh").args(["-ec", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

fn nft(text: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
}

fn flags(args: &[&str]) -> RedirectFlags {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: RedirectFlags,
    }
    let words = std::iter::once("redirect").chain(args.iter().copied());
    <Cli as clap::Parser>::try_parse_from(words).unwrap().flags
}

/// Runs the body in a thread with a network namespace of its own: a pod with address 10.44.0.2.
fn in_pod(body: impl FnOnce() + Send + 'static) {
    let test = std::thread::spawn(move || {
        if let Err(refused) = unshare(CloneFlags::CLONE_NEWNET) {
            eprintln!("skipped: the kernel refuses a network namespace here: {refused}");
            return;
        }
        sh(
            "ip link set lo up && ip link add eth0 type veth peer name wire && ip link set wire up && ip addr add 10.44.0.2/24 dev eth0 && \
            ip link set eth0 up && ip route add default via 10.44.0.1",
        );
        body();
    });
    test.join().unwrap();
}

fn listen(address: impl Into<SocketAddr>) -> TcpListener {
    let listener = TcpListener::bind(address.into()).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

/// Connects and says which listener got the connection and where the client meant to go.
struct Pod {
    outbound: TcpListener,
    inbound: TcpListener,
    app: TcpListener,
}

impl Pod {
    fn new() -> Self {
        Self { outbound: listen(any(15001)), inbound: listen(any(15006)), app: listen(any(8080)) }
    }

    fn arrives(&self) -> (&'static str, SocketAddrV4) {
        for _ in 0..200 {
            for (name, listener) in
                [("outbound", &self.outbound), ("inbound", &self.inbound), ("app", &self.app)]
            {
                if let Ok((stream, _)) = listener.accept() {
                    return (name, original_destination(&stream));
                }
            }
            #[expect(clippy::disallowed_methods, reason = "a plain thread without a runtime")]
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no listener got the connection");
    }

    fn connect(&self, mark: Option<u32>, source: Option<Ipv4Addr>, to: &str) -> (&'static str, String) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(mark) = mark {
            socket.set_mark(mark).unwrap();
        }
        if let Some(source) = source {
            socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        }
        let to: SocketAddr = to.parse().unwrap();
        socket.connect_timeout(&to.into(), Duration::from_secs(2)).unwrap_or_else(|e| panic!("{to}: {e}"));
        let (listener, meant) = self.arrives();
        (listener, meant.to_string())
    }
}

fn original_destination(stream: &TcpStream) -> SocketAddrV4 {
    match getsockopt(stream, sockopt::OriginalDst) {
        Ok(raw) => {
            SocketAddrV4::new(Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr)), u16::from_be(raw.sin_port))
        }
        // not redirected: connection tracking knows nothing of it
        Err(_) => match stream.local_addr().unwrap() {
            SocketAddr::V4(v4) => v4,
            SocketAddr::V6(v6) => panic!("{v6}"),
        },
    }
}

const INJECTED: [&str; 16] = [
    "-p",
    "15001",
    "-z",
    "15006",
    "-u",
    "1337",
    "-m",
    "REDIRECT",
    "-i",
    "*",
    "-x",
    "10.99.0.0/16",
    "-b",
    "*",
    "-d",
    "15090,15021,15020",
];

fn injected(more: &[&str]) -> String {
    let args: Vec<&str> = INJECTED.iter().copied().chain(more.iter().copied()).collect();
    let resolv_conf = Ok(ResolvConf { nameservers: vec!["10.44.0.1".parse().unwrap()], search: Vec::new() });
    ruleset(&Plan::from_flags(&flags(&args), &redirect::Pod { ipv6: true, resolv_conf }).unwrap())
}

#[test]
fn connections_go_where_istios_chains_would_send_them() {
    in_pod(|| {
        nft(&injected(&["--proxy-mark", "1337"]));
        nft(&injected(&["--proxy-mark", "1337"])); // applying twice changes nothing
        let pod = Pod::new();
        let proxy = Some(MARK);
        let passthrough = Some(Ipv4Addr::new(127, 0, 0, 6));
        let cases = [
            ("the application calls a service", None, None, "10.96.0.7:80", "outbound"),
            ("the application calls itself by pod address", None, None, "10.44.0.2:8080", "app"),
            ("the application calls itself by localhost", None, None, "127.0.0.1:8080", "app"),
            ("the proxy calls its own pod", proxy, None, "10.44.0.2:8080", "inbound"),
            ("the proxy calls localhost", proxy, None, "127.0.0.1:8080", "app"),
            ("the inbound side calls the application", proxy, passthrough, "10.44.0.2:8080", "app"),
        ];
        for (what, mark, source, to, listener) in cases {
            assert_eq!(pod.connect(mark, source, to), (listener, to.to_owned()), "{what}");
        }
    });
}

/// A process that ends with the test, however that ends.
struct Helper(Child);

impl Helper {
    /// Runs a command of a shell, and waits until it has printed something.
    fn start(command: &str) -> Self {
        let mut child = Command::new("sh").args(["-c", command]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A second namespace joined by a cable: the rest of the cluster.
fn with_peer(body: impl FnOnce(&str)) {
    let child = Helper(Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap());
    let peer = child.0.id();
    // the child's namespace exists once it differs from ours
    let ours = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    while std::fs::read_link(format!("/proc/{peer}/ns/net")).unwrap() == ours {
        std::thread::yield_now();
    }
    sh(&format!(
        "ip link del eth0; ip link add eth0 type veth peer name eth0 netns {peer} && \
         ip addr add 10.44.0.2/24 dev eth0 && ip link set eth0 up && ip route add default via 10.44.0.1 && \
         nsenter -t {peer} -n sh -ec 'ip link set lo up && ip addr add 10.44.0.1/24 dev eth0 && \
         ip addr add 10.99.0.1/32 dev lo && ip link set eth0 up'"
    ));
    body(&format!("nsenter -t {peer} -n"));
}

#[test]
fn connections_from_outside_come_in_through_the_inbound_port() {
    in_pod(|| {
        with_peer(|in_peer| {
            nft(&injected(&[]));
            let pod = Pod::new();
            let health = listen(any(15021));
            let dial = |port: u16| {
                Command::new("sh")
                    .args(["-c", &format!("exec {in_peer} bash -c 'exec 3<>/dev/tcp/{POD}/{port}; sleep 1'")])
                    .spawn()
                    .unwrap()
            };
            let mut client = dial(8080);
            let (listener, meant) = pod.arrives();
            assert_eq!((listener, meant.to_string().as_str()), ("inbound", "10.44.0.2:8080"));
            client.wait().unwrap();

            assert!(dial(15021).wait().unwrap().success());
            health.accept().expect("the health port is left alone");
        });
    });
}

#[test]
fn the_proxys_own_user_reaches_the_network_untouched() {
    in_pod(|| {
        with_peer(|in_peer| {
            nft(&injected(&[]));
            let pod = Pod::new();
            let _server = Helper::start(&format!(
                "exec {in_peer} python3 -c 'import socket\ns=socket.create_server((\"0.0.0.0\",9000))\nprint(1,flush=True)\nwhile True:\n c,_=s.accept(); c.send(b\"peer\"); c.close()'"
            ));

            let proxy = Command::new("setpriv")
                .args(["--reuid", "1337", "--regid", "1337", "--clear-groups", "bash", "-c"])
                .arg("cat < /dev/tcp/10.44.0.1/9000")
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&proxy.stdout), "peer");
            // an excluded range is left alone, anything else is captured
            let mut excluded = TcpStream::connect("10.99.0.1:9000").unwrap();
            let mut answer = String::new();
            excluded.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "peer");
            assert_eq!(pod.connect(None, None, "10.44.0.1:9000"), ("outbound", "10.44.0.1:9000".to_owned()));
        });
    });
}

/// A question from this port to a nameserver: what is answered, and by whom.
fn ask(port: u16, mark: Option<u32>, nameserver: &str) -> String {
    let socket = UdpSocket::bind(any(port)).unwrap();
    if let Some(mark) = mark {
        SockRef::from(&socket).set_mark(mark).unwrap();
    }
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.send_to(b"question", nameserver).unwrap();
    let mut answer = [0; 64];
    let (len, from) = socket.recv_from(&mut answer).unwrap_or_else(|error| panic!("{nameserver}: {error}"));
    format!("{} {from}", String::from_utf8_lossy(&answer[..len]))
}

#[test]
fn questions_for_names_reach_the_proxy_and_its_own_the_nameserver() {
    in_pod(|| {
        with_peer(|in_peer| {
            nft(&injected(&["--proxy-mark", "1337", "--redirect-dns"]));
            let _nameserver = Helper::start(&format!(
                "exec {in_peer} python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind((\"0.0.0.0\",53))\nprint(1,flush=True)\nwhile True:\n _,a=s.recvfrom(99); s.sendto(b\"nameserver\",a)'"
            ));
            let ours = UdpSocket::bind(("127.0.0.1", 15053)).unwrap();
            let by_tcp = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 15053)));
            std::thread::spawn(move || {
                let mut question = [0; 64];
                while let Ok((_, asker)) = ours.recv_from(&mut question) {
                    ours.send_to(b"proxy", asker).unwrap();
                }
            });
            assert_eq!(ask(40_000, None, "10.44.0.1:53"), "proxy 10.44.0.1:53");
            // From the same port: without a zone of its own it would follow the application's question.
            assert_eq!(ask(40_000, Some(MARK), "10.44.0.1:53"), "nameserver 10.44.0.1:53");
            assert_eq!(ask(40_000, None, "10.44.0.1:53"), "proxy 10.44.0.1:53");
            assert!(ask(40_001, None, "10.99.0.1:53").starts_with("nameserver"), "it is none of the pod's");
            let _question = TcpStream::connect("10.44.0.1:53").unwrap();
            by_tcp.accept().expect("TCP is for long answers");
        });
    });
}

#[test]
fn cleaning_removes_every_rule_and_may_be_repeated() {
    in_pod(|| {
        nft(&injected(&[]));
        nft(&removal());
        nft(&removal());
        let left = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    });
}
