//! gRPC: the four shapes of `proto/echo.proto`, and the standard health service.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::Router;
use futures::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming, metadata::KeyAndValueRef, metadata::MetadataMap};

use super::proto::{
    EchoReply, EchoRequest,
    echo_server::{Echo, EchoServer},
};
use crate::identity::Identity;

/// Metadata that asks a version to fail.
const STATUS: &str = "x-echo-status";

pub(super) fn router<S: Clone + Send + Sync + 'static>(identity: Arc<Identity>) -> Router<S> {
    let (_, health) = tonic_health::server::health_reporter();
    Router::new()
        .route_service("/trysail.echo.v1.Echo/{*method}", EchoServer::new(Service { identity }))
        .route_service("/grpc.health.v1.Health/{*method}", health)
}

struct Service {
    identity: Arc<Identity>,
}

type Replies = Pin<Box<dyn Stream<Item = Result<EchoReply, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Service {
    async fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        let (metadata, _, asked) = request.into_parts();
        tokio::time::sleep(Duration::from_millis(asked.delay_ms.into())).await;
        self.ended(&metadata, &asked)?;
        Ok(self.signed(self.reply(&metadata, asked.message, 1, 1)))
    }

    type ServerStreamStream = Replies;

    async fn server_stream(&self, request: Request<EchoRequest>) -> Result<Response<Replies>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let last = self.ended(&metadata, &asked).err().map(Err);
        let (pause, count) = (Duration::from_millis(asked.delay_ms.into()), asked.count);
        let reply = self.reply(&metadata, asked.message, 0, 1);
        let replies = futures::stream::iter(1..=count).then(move |sequence| {
            let reply = EchoReply { sequence, ..reply.clone() };
            async move {
                tokio::time::sleep(pause).await;
                Ok(reply)
            }
        });
        Ok(self.signed(Box::pin(replies.chain(futures::stream::iter(last)))))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<EchoReply>, Status> {
        let (metadata, _, mut requests) = request.into_parts();
        let (mut received, mut message) = (0, String::new());
        while let Some(asked) = requests.message().await? {
            self.ended(&metadata, &asked)?;
            received += 1;
            message = asked.message;
        }
        Ok(self.signed(self.reply(&metadata, message, 1, received)))
    }

    type BidiStreamStream = Replies;

    async fn bidi_stream(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let template = self.reply(&metadata, String::new(), 0, 0);
        let wanted = self.wanted(&metadata);
        let replies = requests.enumerate().then(move |(index, asked)| {
            let template = template.clone();
            async move {
                let asked = asked?;
                status(wanted.unwrap_or(asked.status))?;
                tokio::time::sleep(Duration::from_millis(asked.delay_ms.into())).await;
                let sequence = index as u32 + 1;
                Ok(EchoReply { message: asked.message, sequence, received: sequence, ..template })
            }
        });
        Ok(self.signed(Box::pin(replies)))
    }
}

impl Service {
    /// The answer, with headers that say whose it is.
    fn signed<T>(&self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        self.sign(response.metadata_mut());
        response
    }

    fn sign(&self, metadata: &mut MetadataMap) {
        for (name, value) in [("x-echo-pod", &self.identity.pod), ("x-echo-version", &self.identity.version)]
        {
            if let Ok(value) = value.parse() {
                metadata.insert(name, value);
            }
        }
    }

    /// The status that a call asks of this very version: `x-echo-status: v1=14 v2=2`.
    fn wanted(&self, metadata: &MetadataMap) -> Option<i32> {
        let list = metadata.get(STATUS)?.to_str().ok()?;
        let named = |one: &str| one.strip_prefix(&*self.identity.version)?.strip_prefix('=')?.parse().ok();
        list.split(' ').find_map(named)
    }

    /// The status that a call asks to end with.
    fn ended(&self, metadata: &MetadataMap, asked: &EchoRequest) -> Result<(), Status> {
        status(self.wanted(metadata).unwrap_or(asked.status)).map_err(|mut status| {
            self.sign(status.metadata_mut());
            status
        })
    }

    fn reply(&self, metadata: &MetadataMap, message: String, sequence: u32, received: u32) -> EchoReply {
        let text = |entry| match entry {
            KeyAndValueRef::Ascii(name, value) => {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            }
            KeyAndValueRef::Binary(name, value) => (name.to_string(), format!("{value:?}")),
        };
        EchoReply {
            message,
            sequence,
            received,
            pod: self.identity.pod.clone(),
            version: self.identity.version.clone(),
            metadata: metadata.iter().map(text).collect(),
        }
    }
}

/// A status by its number; 0 is none.
fn status(code: i32) -> Result<(), Status> {
    match Code::from_i32(code) {
        Code::Ok => Ok(()),
        code => Err(Status::new(code, "as asked")),
    }
}
