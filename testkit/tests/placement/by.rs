//! What is hashed of a request, and requests that have it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// A source of the hash.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Header,
    /// A header with two values, in any order.
    Values,
    Cookie,
    Query,
    /// The client's address.
    Address,
    /// A header, then a cookie that ends the list, then a parameter; not every request has all.
    Several,
}

/// A request, as both are asked for it.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Where the client is; on 127.0.0.1 if it doesn't matter.
    pub(crate) from: Option<Ipv4Addr>,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl By {
    pub(crate) const ALL: [Self; 6] =
        [Self::Header, Self::Values, Self::Cookie, Self::Query, Self::Address, Self::Several];

    /// `hash_policy` of a route.
    pub(crate) fn policy(self) -> Value {
        let header = json!({"header": {"header_name": "x-user"}});
        let cookie = json!({"cookie": {"name": "session"}});
        let query = json!({"query_parameter": {"name": "user"}});
        match self {
            Self::Header | Self::Values => json!([header]),
            Self::Cookie => json!([cookie]),
            Self::Query => json!([query]),
            Self::Address => json!([{"connection_properties": {"source_ip": true}}]),
            Self::Several => {
                let mut last = cookie;
                last["terminal"] = json!(true);
                json!([header, last, query])
            }
        }
    }

    /// The request with one of the keys.
    pub(crate) fn request(self, number: usize) -> Request {
        let mut request = Request::default();
        let key = key(number);
        match self {
            Self::Header => request.headers.push(("x-user", key)),
            Self::Values => {
                let pair = [key, format!("user-{}", number / 7)];
                request.headers.extend(pair.map(|value| ("x-user", value)));
            }
            Self::Cookie => request.headers.push(cookie(&key)),
            Self::Query => request.query = Some(format!("a=b&user={}&user=other", escaped(&key))),
            Self::Address => {
                let [_, b, c, d] = (number as u32 * 8191 + 65_537).to_be_bytes();
                request.from = Some(Ipv4Addr::new(127, b, c, d));
            }
            Self::Several => {
                if number.is_multiple_of(2) {
                    request.headers.push(("x-user", key.clone()));
                }
                if number.is_multiple_of(3) {
                    request.headers.push(cookie(&key));
                }
                request.query = Some(format!("user={}", escaped(&key)));
            }
        }
        request
    }
}

/// Short and long, plain and odd; the first is empty.
fn key(number: usize) -> String {
    match number % 5 {
        _ if number == 0 => String::new(),
        0 => format!("user-{number}"),
        1 => number.to_string(),
        2 => format!("{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        3 => format!("{}{number}@example.com", "x".repeat(number % 90)),
        _ => format!("\"Ann, {number}\" Müller;a=b"),
    }
}

/// One cookie among others. An empty one would be none.
fn cookie(key: &str) -> (&'static str, String) {
    ("cookie", format!("a=b; session=k{}; c=d", escaped(key)))
}

/// What may stand in a URL and in a cookie; neither proxy decodes it.
fn escaped(key: &str) -> String {
    let escape = |byte: u8| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    key.bytes().map(escape).collect()
}
