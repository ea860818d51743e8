//! `echo grpc URL --call bidi`: one gRPC call, its replies and its status.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use futures::stream;
use serde::Serialize;
use tonic::{
    Request, Status, Streaming,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::{Channel, Endpoint},
};

use super::print;
use crate::{
    echo::proto::{EchoReply, EchoRequest, echo_client::EchoClient},
    units,
};

/// The shape of a call.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Call {
    Unary,
    Server,
    Client,
    Bidi,
}

/// The command.
#[derive(Args, Debug)]
pub struct Grpc {
    /// `http://host:port`
    url: String,
    #[arg(long, value_enum, default_value_t = Call::Unary)]
    call: Call,
    #[arg(long, default_value = "hello")]
    message: String,
    /// How many messages a stream carries
    #[arg(long, default_value_t = 3)]
    count: u32,
    /// The gRPC status that the server shall end with
    #[arg(long, default_value_t = 0)]
    status: i32,
    /// `name: value`; may be given several times
    #[arg(long, short = 'H', value_parser = metadata)]
    header: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Outcome {
    /// Such as `Ok` or `Unavailable`.
    status: String,
    message: String,
    replies: Vec<Reply>,
}

#[derive(Serialize)]
struct Reply {
    message: String,
    sequence: u32,
    received: u32,
    pod: String,
    version: String,
    metadata: BTreeMap<String, String>,
}

impl Grpc {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let channel = Endpoint::from_shared(self.url.clone())?
            .connect_timeout(self.timeout)
            .connect()
            .await
            .context("connect")?;
        let mut replies = Vec::new();
        let ended = tokio::time::timeout(self.timeout, self.call(EchoClient::new(channel), &mut replies))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no end in time")));
        print(&Outcome {
            status: ended.as_ref().err().map_or("Ok".to_owned(), |status| format!("{:?}", status.code())),
            message: ended.err().map(|status| status.message().to_owned()).unwrap_or_default(),
            replies,
        })
    }

    async fn call(&self, mut client: EchoClient<Channel>, replies: &mut Vec<Reply>) -> Result<(), Status> {
        match self.call {
            Call::Unary => {
                replies.push(client.unary(self.with_metadata(self.request())).await?.into_inner().into());
            }
            Call::Client => {
                let requests = self.with_metadata(stream::iter(self.requests()));
                replies.push(client.client_stream(requests).await?.into_inner().into());
            }
            Call::Server => {
                collect(
                    client.server_stream(self.with_metadata(self.request())).await?.into_inner(),
                    replies,
                )
                .await?;
            }
            Call::Bidi => {
                let requests = self.with_metadata(stream::iter(self.requests()));
                collect(client.bidi_stream(requests).await?.into_inner(), replies).await?;
            }
        }
        Ok(())
    }

    fn request(&self) -> EchoRequest {
        EchoRequest { message: self.message.clone(), count: self.count, status: self.status, delay_ms: 0 }
    }

    fn requests(&self) -> Vec<EchoRequest> {
        (1..=self.count)
            .map(|number| EchoRequest { message: format!("{} {number}", self.message), ..self.request() })
            .collect()
    }

    fn with_metadata<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in &self.header {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        request
    }
}

async fn collect(mut stream: Streaming<EchoReply>, replies: &mut Vec<Reply>) -> Result<(), Status> {
    while let Some(reply) = stream.message().await? {
        replies.push(reply.into());
    }
    Ok(())
}

impl From<EchoReply> for Reply {
    fn from(reply: EchoReply) -> Self {
        Self {
            message: reply.message,
            sequence: reply.sequence,
            received: reply.received,
            pod: reply.pod,
            version: reply.version,
            metadata: reply.metadata.into_iter().collect(),
        }
    }
}

fn metadata(text: &str) -> anyhow::Result<(AsciiMetadataKey, AsciiMetadataValue)> {
    let (name, value) = text.split_once(':').context("metadata is written `name: value`")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}
