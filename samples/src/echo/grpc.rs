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
        ended(&asked)?;
        tokio::time::sleep(Duration::from_millis(asked.delay_ms.into())).await;
        Ok(Response::new(self.reply(&metadata, asked.message, 1, 1)))
    }

    type ServerStreamStream = Replies;

    async fn server_stream(&self, request: Request<EchoRequest>) -> Result<Response<Replies>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let last = ended(&asked).err().map(Err);
        let (pause, count) = (Duration::from_millis(asked.delay_ms.into()), asked.count);
        let reply = self.reply(&metadata, asked.message, 0, 1);
        let replies = futures::stream::iter(1..=count).then(move |sequence| {
            let reply = EchoReply { sequence, ..reply.clone() };
            async move {
                tokio::time::sleep(pause).await;
                Ok(reply)
            }
        });
        Ok(Response::new(Box::pin(replies.chain(futures::stream::iter(last)))))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<EchoReply>, Status> {
        let (metadata, _, mut requests) = request.into_parts();
        let (mut received, mut message) = (0, String::new());
        while let Some(asked) = requests.message().await? {
            ended(&asked)?;
            received += 1;
            message = asked.message;
        }
        Ok(Response::new(self.reply(&metadata, message, 1, received)))
    }

    type BidiStreamStream = Replies;

    async fn bidi_stream(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let template = self.reply(&metadata, String::new(), 0, 0);
        let replies = requests.enumerate().then(move |(index, asked)| {
            let template = template.clone();
            async move {
                let asked = asked?;
                ended(&asked)?;
                tokio::time::sleep(Duration::from_millis(asked.delay_ms.into())).await;
                let sequence = index as u32 + 1;
                Ok(EchoReply { message: asked.message, sequence, received: sequence, ..template })
            }
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

impl Service {
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

/// The status that a request asks to end with.
fn ended(asked: &EchoRequest) -> Result<(), Status> {
    match Code::from_i32(asked.status) {
        Code::Ok => Ok(()),
        code => Err(Status::new(code, "as asked")),
    }
}
