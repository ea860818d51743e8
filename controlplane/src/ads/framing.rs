//! gRPC's framing of the stream's two directions.
//!
//! tonic's keeps its largest buffer for as long as a stream lives, which is megabytes per proxy after the first responses.
//! Here a message is decoded from where it arrived and encoded into bytes of its exact size, and nothing is kept.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use axum::body::Body;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use futures::Stream;
use hyper::HeaderMap;
use hyper::body::{Body as HttpBody, Frame};
use prost::Message as _;
use tonic::Status;

/// Compression flag and length.
const HEADER: usize = 5;
/// A request with the versions of tens of thousands of resources fits.
const MAX_REQUEST: usize = 16 << 20;

/// The proxy's requests.
#[derive(Debug)]
pub(super) struct Requests {
    body: Body,
    /// What has arrived of a message that is not complete.
    partial: BytesMut,
    /// What has arrived behind a complete message.
    rest: Bytes,
}

impl Requests {
    pub(super) fn new(body: Body) -> Self {
        Self { body, partial: BytesMut::new(), rest: Bytes::new() }
    }

    /// The next request; none when the proxy has closed its direction.
    pub(super) fn poll_message(
        &mut self,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<Option<DeltaDiscoveryRequest>, Status>> {
        loop {
            if let Some(message) = self.complete()? {
                let decoded = DeltaDiscoveryRequest::decode(message);
                return Poll::Ready(decoded.map(Some).map_err(|e| {
                    Status::internal(format!("the request is not a DeltaDiscoveryRequest: {e}"))
                }));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest = data;
                    }
                }
                Some(Err(_)) | None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// [`Self::poll_message`], to wait for. May be dropped and called again.
    pub(super) async fn message(&mut self) -> Result<Option<DeltaDiscoveryRequest>, Status> {
        poll_fn(|context| self.poll_message(context)).await
    }

    /// Takes a message out of what has arrived.
    fn complete(&mut self) -> Result<Option<Bytes>, Status> {
        if self.partial.is_empty() {
            if let Some(len) = message_len(&self.rest)?
                && self.rest.len() >= HEADER + len
            {
                self.rest.advance(HEADER);
                return Ok(Some(self.rest.split_to(len)));
            }
            self.partial.extend_from_slice(&std::mem::take(&mut self.rest));
            return Ok(None);
        }
        self.partial.extend_from_slice(&std::mem::take(&mut self.rest));
        match message_len(&self.partial)? {
            Some(len) if self.partial.len() >= HEADER + len => {
                let mut arrived = std::mem::take(&mut self.partial).freeze();
                arrived.advance(HEADER);
                let message = arrived.split_to(len);
                self.rest = arrived;
                Ok(Some(message))
            }
            _ => Ok(None),
        }
    }
}

/// The length of the message at the front, once its header is there.
fn message_len(bytes: &[u8]) -> Result<Option<usize>, Status> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [compressed, length @ ..] = *header;
    if compressed != 0 {
        return Err(Status::unimplemented("compressed requests are not understood"));
    }
    let len = u32::from_be_bytes(length) as usize;
    if len > MAX_REQUEST {
        return Err(Status::resource_exhausted(format!(
            "a request of {len} bytes is larger than {MAX_REQUEST}"
        )));
    }
    Ok(Some(len))
}

/// Something that knows its encoded size and can write itself.
pub(super) trait Encode {
    /// How many bytes [`Self::write`] writes.
    fn encoded_len(&self) -> usize;
    /// Writes the message.
    fn write(&self, out: &mut BytesMut);
}

/// One message with its header, in bytes of exactly its size.
fn framed(message: &impl Encode) -> Bytes {
    let len = message.encoded_len();
    let mut out = BytesMut::with_capacity(HEADER + len);
    out.put_u8(0);
    out.put_u32(len as u32);
    message.write(&mut out);
    out.freeze()
}

/// A response body: messages, then the status.
pub(super) struct Messages<S> {
    stream: Option<S>,
}

impl<S> Messages<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: Some(stream) }
    }
}

impl<S, M> HttpBody for Messages<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: Encode,
{
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let status = match ready!(Pin::new(stream).poll_next(context)) {
            Some(Ok(message)) => return Poll::Ready(Some(Ok(Frame::data(framed(&message))))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.stream = None;
        let mut trailers = HeaderMap::new();
        // Fails only for messages that no header can carry; the code alone is better than no status.
        if status.add_header(&mut trailers).is_err() {
            trailers = HeaderMap::new();
            let _ = Status::new(status.code(), "").add_header(&mut trailers);
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(type_url: &str) -> Vec<u8> {
        let request = DeltaDiscoveryRequest { type_url: type_url.into(), ..DeltaDiscoveryRequest::default() };
        let body = request.encode_to_vec();
        [&[0][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    }

    async fn read(chunks: Vec<Vec<u8>>) -> Result<Vec<String>, Status> {
        let chunks = futures::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
        let mut requests = Requests::new(Body::from_stream(chunks));
        let mut read = Vec::new();
        while let Some(request) = requests.message().await? {
            read.push(request.type_url);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn messages_are_found_however_they_are_cut() {
        let whole = [message("a"), message("bb"), message(&"c".repeat(300))].concat();
        let expected = ["a".to_owned(), "bb".to_owned(), "c".repeat(300)];
        for size in [1, 2, 3, 5, 7, 10, 64, 1000] {
            let chunks = whole.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(read(chunks).await.unwrap(), expected, "cut every {size} bytes");
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let too_large = [&[0][..], &u32::MAX.to_be_bytes()].concat();
        assert_eq!(read(vec![too_large]).await.unwrap_err().code(), tonic::Code::ResourceExhausted);
        assert_eq!(read(vec![vec![1, 0, 0, 0, 0]]).await.unwrap_err().code(), tonic::Code::Unimplemented);
        assert_eq!(read(vec![vec![0, 0, 0, 0, 1, 0xff]]).await.unwrap_err().code(), tonic::Code::Internal);
        assert!(read(vec![vec![0, 0]]).await.unwrap().is_empty(), "cut off in the middle");
    }
}
