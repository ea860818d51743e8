//! Over real sockets: a server of ours, and a nameserver behind it.

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::*;

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A port that is free for both.
async fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let tcp = TcpListener::bind(ANYWHERE).await.unwrap();
        let address = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (udp, tcp, address);
        }
    }
}

/// A server that knows `db.example.com`, with these nameservers behind it.
async fn server(nameservers: Vec<SocketAddr>) -> (SocketAddr, Serving, Arc<Counters>) {
    let names = Names::new("shop.svc.cluster.local");
    names.update([("db.example.com".to_owned(), vec![[240, 240, 0, 7].into()])], []);
    let settings = Settings {
        names: Arc::new(names),
        resolv_conf: ResolvConf::default(),
        packet_mark: None,
        counters: Arc::default(),
    };
    let counters = settings.counters.clone();
    let mut serving = Serving(Vec::new());
    let server = Server::new(settings, Upstream::at(nameservers, None), Duration::from_millis(300));
    let (udp, tcp, address) = sockets().await;
    server.serve(udp, tcp, &mut serving);
    (address, serving, counters)
}

/// Answers everything with 192.0.2.1, over both transports.
async fn nameserver() -> SocketAddr {
    let (udp, tcp, address) = sockets().await;
    let answer = |question: &[u8]| {
        let question = Message::from_vec(question).unwrap();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.add_query(question.queries[0].clone());
        let data = RData::A(A([192, 0, 2, 1].into()));
        answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), 5, data));
        answer.to_vec().unwrap()
    };
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (len, asker) = udp.recv_from(&mut buffer).await.unwrap();
            // What is not the answer is not taken for it.
            udp.send_to(&[0, 0, 1], asker).await.unwrap();
            udp.send_to(&answer(&buffer[..len]), asker).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(&framed(&answer(&question))).await.unwrap();
        }
    });
    address
}

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

/// The addresses, or the code.
fn read(answer: &[u8]) -> String {
    let answer = Message::from_vec(answer).unwrap();
    assert_eq!(answer.metadata.id, 77);
    let addresses: Vec<_> = answer.answers.iter().map(|one| one.data.to_string()).collect();
    if addresses.is_empty() { answer.metadata.response_code.to_string() } else { addresses.join(" ") }
}

async fn by_udp(server: SocketAddr, name: &str) -> String {
    let socket = UdpSocket::bind(ANYWHERE).await.unwrap();
    socket.send_to(&question(name), server).await.unwrap();
    let mut buffer = [0; 512];
    let len = timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await.unwrap().unwrap();
    read(&buffer[..len])
}

async fn by_tcp(stream: &mut TcpStream, name: &str) -> String {
    stream.write_all(&framed(&question(name))).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    read(&answer)
}

#[tokio::test]
async fn the_meshs_names_are_answered_and_others_passed_on() {
    let (address, _serving, counters) = server(vec![nameserver().await]).await;
    assert_eq!(by_udp(address, "db.example.com.").await, "240.240.0.7");
    assert_eq!(by_udp(address, "example.com.").await, "192.0.2.1");
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(by_tcp(&mut stream, "db.example.com.").await, "240.240.0.7");
    assert_eq!(by_tcp(&mut stream, "example.com.").await, "192.0.2.1", "on the same connection");
    assert_eq!((counters.requests(), counters.forwarded(), counters.failures()), (4, 2, 0));
    let durations = counters.durations();
    assert_eq!(durations.buckets.last(), Some(&(5.0, 2)));
}

#[tokio::test]
async fn the_next_nameserver_is_asked_when_one_fails_and_failure_is_said() {
    // Nobody is there: the kernel says so at once.
    let gone = UdpSocket::bind(ANYWHERE).await.unwrap().local_addr().unwrap();
    let (address, _serving, _) = server(vec![gone, nameserver().await]).await;
    assert_eq!(by_udp(address, "example.com.").await, "192.0.2.1");
    let (address, _serving, counters) = server(vec![gone]).await;
    assert_eq!(by_udp(address, "example.com.").await, "Server Failure");
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(by_tcp(&mut stream, "example.com.").await, "Server Failure");
    assert_eq!((counters.forwarded(), counters.failures()), (2, 2));
}

#[tokio::test]
async fn connections_that_say_nothing_leave_room_for_others() {
    let (address, _serving, _) = server(Vec::new()).await;
    let mut silent = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // UDP is not held up, and TCP only for as long as the silent ones may be silent.
    assert_eq!(by_udp(address, "db.example.com.").await, "240.240.0.7");
    let began = Instant::now();
    let mut late = TcpStream::connect(address).await.unwrap();
    assert_eq!(by_tcp(&mut late, "db.example.com.").await, "240.240.0.7");
    assert!(began.elapsed() >= Duration::from_millis(200), "it had to wait for its turn");
    drop(silent);
}
