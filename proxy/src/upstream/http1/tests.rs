use bytes::BytesMut;
use http::{Method, Request, Version};

use super::decode::{self, Asked, Body, Chunk, Step};

fn asked(method: Method) -> Asked {
    let (parts, ()) = Request::builder().method(method).uri("http://a/").body(()).unwrap().into_parts();
    Asked::of(&parts)
}

fn head(text: &str, method: Method) -> Result<Option<decode::Head>, decode::Bad> {
    decode::head(&mut BytesMut::from(text), asked(method))
}

#[test]
fn the_head_says_how_long_the_body_is() {
    let chunked = Body::Chunked(Chunk::Size);
    for (lines, method, body, keep) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", Method::GET, Body::Length(5), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n", Method::GET, Body::Length(5), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", Method::GET, Body::None, true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n", Method::GET, chunked, true),
        ("HTTP/1.1 200 OK\r\n", Method::GET, Body::UntilClose, false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", Method::HEAD, Body::None, true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n", Method::HEAD, Body::None, true),
        ("HTTP/1.1 204 No Content\r\n", Method::GET, Body::None, true),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n", Method::GET, Body::None, true),
        ("HTTP/1.1 101 Switching Protocols\r\n", Method::GET, Body::None, true),
        ("HTTP/1.1 200 OK\r\n", Method::CONNECT, Body::None, true),
        (
            "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 1\r\n",
            Method::GET,
            Body::Length(1),
            false,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n", Method::GET, Body::Length(1), false),
        (
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n",
            Method::GET,
            Body::Length(1),
            true,
        ),
    ] {
        let head = head(&format!("{lines}\r\n"), method.clone()).unwrap().unwrap();
        assert_eq!((head.body, head.keep), (body, keep), "{method} {lines:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for lines in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 200 OK\r\nbad header: x\r\n",
        "HTTP/1.1 200 OK\r\nno-colon\r\n",
        "SSH-2.0-OpenSSH\r\n",
    ] {
        assert!(head(&format!("{lines}\r\n"), Method::GET).is_err(), "{lines:?}");
    }
}

#[test]
fn a_head_is_kept_whole() {
    let text = "HTTP/1.1 418 I'm a teapot\r\nX-A: 1\r\nx-a:  two words \r\nSet-Cookie: a=b\r\n\r\nrest";
    let mut read = BytesMut::from(text);
    let head = decode::head(&mut read, asked(Method::GET)).unwrap().unwrap();
    assert_eq!(head.response.status(), 418);
    assert_eq!(head.response.version(), Version::HTTP_11);
    let values: Vec<_> = head.response.headers().get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "two words"]);
    assert_eq!(&read[..], b"rest");
}

/// Feeds `text` in pieces of `size` bytes; the body, the trailers, and whether it ended.
fn chunked(text: &str, size: usize) -> Result<(String, Vec<String>, bool), decode::Bad> {
    let mut body = Body::Chunked(Chunk::Size);
    let mut read = BytesMut::new();
    let (mut data, mut trailers) = (String::new(), Vec::new());
    for piece in text.as_bytes().chunks(size) {
        read.extend_from_slice(piece);
        loop {
            match body.decode(&mut read)? {
                Step::Data(bytes) => data.push_str(std::str::from_utf8(&bytes).unwrap()),
                Step::Trailers(map) => trailers.extend(map.keys().map(ToString::to_string)),
                Step::End | Step::More => break,
            }
        }
    }
    Ok((data, trailers, body == Body::None && read.is_empty()))
}

#[test]
fn chunks_are_joined_however_they_arrive() {
    let plain = "5\r\nhello\r\n7;a=\"b\"\r\n, world\r\n0\r\n\r\n";
    let with_trailers = "00a\r\n0123456789\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n";
    for size in 1..plain.len() {
        assert_eq!(chunked(plain, size).unwrap(), ("hello, world".into(), vec![], true));
        let (data, trailers, ended) = chunked(with_trailers, size).unwrap();
        assert_eq!(
            (data.as_str(), trailers, ended),
            ("0123456789", vec!["x-sum".into(), "x-more".into()], true)
        );
    }
}

#[test]
fn bad_chunks_are_refused() {
    for text in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5 5\r\nhello\r\n",
        "ffffffffffffffff\r\n",
        "5\r\rhello\r\n",
        "0\r\nbad trailer\r\n\r\n",
    ] {
        assert!(chunked(text, text.len()).is_err(), "{text:?}");
    }
    let endless = "1;".to_owned() + &"x".repeat(10_000);
    assert!(chunked(&endless, 100).is_err());
}
