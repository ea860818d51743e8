//! What to do with a question: answer it, pass it on, or say nothing. Bytes in, bytes out.

use std::net::IpAddr;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::names::{Found, Names};

/// For how long an answer may be remembered, in seconds: Istio's. Addresses may change at any time.
const TTL: u32 = 30;
/// What every resolver takes over UDP (RFC 1035 4.2.1).
const LEAST_LIMIT: u16 = 512;
/// More than this is no use in a datagram (RFC 9715).
const MOST_LIMIT: u16 = 4096;
/// Identifier, flags and four counts.
const HEADER: usize = 12;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What to do with a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send this.
    Answer(Vec<u8>),
    /// Ask the pod's nameservers.
    PassOn,
    /// It is no question.
    Ignore,
}

/// Looks at a message.
pub(super) fn judge(bytes: &[u8], transport: Transport, names: &Names, search: &[String]) -> Verdict {
    let Ok(message) = Message::from_vec(bytes) else {
        return refused(bytes, ResponseCode::FormErr);
    };
    if message.metadata.message_type != MessageType::Query {
        return Verdict::Ignore;
    }
    let [query] = &message.queries[..] else {
        return refused(bytes, ResponseCode::FormErr);
    };
    if !names.is_complete() {
        // What is the mesh's is not known yet; resolvers ask again.
        return refused(bytes, ResponseCode::ServFail);
    }
    let is_ours = message.metadata.op_code == OpCode::Query
        && query.query_class() == DNSClass::IN
        && matches!(query.query_type(), RecordType::A | RecordType::AAAA);
    let asked = query.name().to_ascii().to_ascii_lowercase();
    let found = is_ours.then(|| names.find(asked.trim_end_matches('.'), search)).flatten();
    match found.and_then(|found| answer(&message, query, &found, transport)) {
        Some(answer) => Verdict::Answer(answer),
        None => Verdict::PassOn,
    }
}

fn refused(bytes: &[u8], code: ResponseCode) -> Verdict {
    failure(bytes, code).map_or(Verdict::Ignore, Verdict::Answer)
}

/// The answer, cut off if it is larger than the asker takes.
fn answer(message: &Message, query: &Query, found: &Found, transport: Transport) -> Option<Vec<u8>> {
    let mut answer = Message::response(message.metadata.id, OpCode::Query);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = message.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let mut owner = query.name().clone();
    if let Some(meant) = &found.alias_of {
        let meant = Name::from_ascii(format!("{meant}.")).ok()?;
        answer.add_answer(Record::from_rdata(owner, TTL, RData::CNAME(CNAME(meant.clone()))));
        owner = meant;
    }
    let wanted = found.addresses.iter().filter_map(|address| match (address, query.query_type()) {
        (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(*address))),
        (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(*address))),
        _ => None,
    });
    // None of this family is an answer too: "no such name" would hide the other family.
    answer.add_answers(wanted.map(|data| Record::from_rdata(owner.clone(), TTL, data)));
    let limit = match &message.edns {
        Some(asked) => {
            let mut edns = Edns::new();
            edns.set_max_payload(MOST_LIMIT);
            answer.set_edns(edns);
            asked.max_payload().clamp(LEAST_LIMIT, MOST_LIMIT)
        }
        None => LEAST_LIMIT,
    };
    let bytes = answer.to_vec().ok()?;
    if transport == Transport::Udp && bytes.len() > usize::from(limit) {
        return answer.truncate().to_vec().ok();
    }
    Some(bytes)
}

/// An answer without records to what may not even be readable. None if it can't be a question.
pub(super) fn failure(bytes: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    let is_question = header[2] & 0x80 == 0;
    let id = u16::from_be_bytes([header[0], header[1]]);
    let mut answer = Message::error_msg(id, OpCode::Query, code);
    answer.metadata.recursion_desired = header[2] & 1 == 1;
    answer.metadata.recursion_available = true;
    if let Ok(message) = Message::from_vec(bytes) {
        answer.add_queries(message.queries);
    }
    is_question.then(|| answer.to_vec().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(addresses: &[&str]) -> Names {
        let names = Names::new("shop.svc.cluster.local");
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        names.update([("db.example.com".to_owned(), addresses)], []);
        names
    }

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn ask(names: &Names, question: &Message, transport: Transport) -> Option<Message> {
        let search = ["shop.svc.cluster.local".to_owned()];
        match judge(&question.to_vec().unwrap(), transport, names, &search) {
            Verdict::Answer(bytes) => Some(Message::from_vec(&bytes).unwrap()),
            Verdict::PassOn => None,
            Verdict::Ignore => panic!("ignored"),
        }
    }

    fn lines(answer: &Message) -> Vec<String> {
        answer.answers.iter().map(|one| format!("{} {} {}", one.name, one.ttl, one.data)).collect()
    }

    #[test]
    fn hosts_of_the_mesh_are_answered() {
        let names = names(&["240.240.0.7", "2001:2::7"]);
        let answer = ask(&names, &question("DB.example.com.", RecordType::A), Transport::Udp).unwrap();
        assert_eq!(lines(&answer), ["DB.example.com. 30 240.240.0.7"], "spelled as asked");
        assert_eq!(answer.metadata.id, 7);
        assert_eq!(answer.metadata.message_type, MessageType::Response);
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert_eq!(answer.queries, question("DB.example.com.", RecordType::A).queries);
        let answer = ask(&names, &question("db.example.com.", RecordType::AAAA), Transport::Udp).unwrap();
        assert_eq!(lines(&answer), ["db.example.com. 30 2001:2::7"]);
        let searched = question("db.example.com.shop.svc.cluster.local.", RecordType::A);
        assert_eq!(
            lines(&ask(&names, &searched, Transport::Udp).unwrap()),
            ["db.example.com.shop.svc.cluster.local. 30 db.example.com.", "db.example.com. 30 240.240.0.7"]
        );
    }

    #[test]
    fn a_family_that_a_host_does_not_have_is_an_empty_answer() {
        let answer =
            ask(&names(&["240.240.0.7"]), &question("db.example.com.", RecordType::AAAA), Transport::Udp);
        let answer = answer.unwrap();
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
    }

    #[test]
    fn everything_else_is_passed_on() {
        let names = names(&["240.240.0.7"]);
        for (name, kind) in [
            ("example.com.", RecordType::A),
            ("db.example.com.", RecordType::MX),
            ("db.example.com.", RecordType::SRV),
            ("7.0.240.240.in-addr.arpa.", RecordType::PTR),
        ] {
            assert!(ask(&names, &question(name, kind), Transport::Udp).is_none(), "{name} {kind}");
        }
        let mut chaos = question("db.example.com.", RecordType::A);
        chaos.queries[0].set_query_class(DNSClass::CH);
        assert!(ask(&names, &chaos, Transport::Udp).is_none());
    }

    #[test]
    fn too_much_for_a_datagram_is_cut_off_and_whole_over_tcp() {
        let many: Vec<String> = (0..100).map(|number| format!("10.0.0.{number}")).collect();
        let names = names(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let mut asked = question("db.example.com.", RecordType::A);
        let answer = ask(&names, &asked, Transport::Udp).unwrap();
        assert!(answer.metadata.truncation && answer.answers.is_empty());
        assert_eq!(ask(&names, &asked, Transport::Tcp).unwrap().answers.len(), 100);
        let mut edns = Edns::new();
        edns.set_max_payload(65_000);
        asked.set_edns(edns);
        let answer = ask(&names, &asked, Transport::Udp).unwrap();
        assert_eq!((answer.answers.len(), answer.max_payload()), (100, MOST_LIMIT));
    }

    #[test]
    fn until_the_names_are_known_resolvers_are_told_to_ask_again() {
        let answer = ask(
            &Names::new("shop.svc.cluster.local"),
            &question("example.com.", RecordType::A),
            Transport::Udp,
        );
        let answer = answer.unwrap();
        assert_eq!((answer.metadata.response_code, answer.queries.len()), (ResponseCode::ServFail, 1));
    }

    #[test]
    fn garbage_is_refused_or_ignored() {
        let names = names(&[]);
        let judge = |bytes: &[u8]| judge(bytes, Transport::Udp, &names, &[]);
        assert_eq!(judge(b""), Verdict::Ignore);
        assert_eq!(judge(&[0; 11]), Verdict::Ignore);
        let Verdict::Answer(answer) = judge(&[0, 9, 1, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0xff]) else {
            panic!("ignored")
        };
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!((answer.metadata.id, answer.metadata.response_code), (9, ResponseCode::FormErr));
        let mut response = question("db.example.com.", RecordType::A);
        response.metadata.message_type = MessageType::Response;
        assert_eq!(judge(&response.to_vec().unwrap()), Verdict::Ignore, "two servers could talk for ever");
        let mut two = question("db.example.com.", RecordType::A);
        two.add_query(two.queries[0].clone());
        assert!(matches!(judge(&two.to_vec().unwrap()), Verdict::Answer(_)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            judge(&bytes, Transport::Udp, &names(&["10.0.0.1"]), &[]);
        }
    }
}
