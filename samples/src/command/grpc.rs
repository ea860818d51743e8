//! `echo grpc URL --call bidi`: one gRPC call, its replies and its status.

use std::{
    collections::BTreeMap,
    task::{self, Poll},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use futures::{future::BoxFuture, stream};
use http::Uri;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::net::TcpStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    metadata::{AsciiMetadataKey, AsciiMetadataValue, KeyAndValueRef, MetadataMap},
};

use tower::Service;

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
    /// How long the server shall wait before each reply
    #[arg(long, default_value = "0s", value_parser = units::duration)]
    delay: Duration,
    /// The deadline that the server and all proxies are told (`grpc-timeout`)
    #[arg(long, value_parser = units::duration)]
    deadline: Option<Duration>,
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    timeout: Duration,
    /// How many calls, one after the other, on connections of their own
    #[arg(long, default_value_t = 1)]
    pub(super) times: u32,
}

/// What came of a call.
#[derive(Serialize)]
pub(super) struct Outcome {
    /// Such as `Ok` or `Unavailable`.
    status: String,
    /// Its number.
    code: i32,
    message: String,
    /// Headers and trailers of the answer.
    metadata: BTreeMap<String, String>,
    replies: Vec<Reply>,
    milliseconds: u64,
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
        for _ in 0..self.times {
            print(&self.outcome().await?)?;
        }
        Ok(())
    }

    pub(super) async fn outcome(&self) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let url: Uri = self.url.parse().with_context(|| format!("`{}` is not a URL", self.url))?;
        let connecting = tokio::time::timeout(self.timeout, Direct::connect(&url)).await;
        let client = EchoClient::with_origin(connecting.context("connect")??, url);
        let mut received = Received::default();
        let ended = tokio::time::timeout(self.timeout, self.call(client, &mut received))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no end in time")));
        let Received { mut metadata, replies } = received;
        if let Err(status) = &ended {
            add(&mut metadata, status.metadata());
        }
        Ok(Outcome {
            status: ended.as_ref().err().map_or("Ok".to_owned(), |status| format!("{:?}", status.code())),
            code: ended.as_ref().err().map_or(0, |status| status.code() as i32),
            message: ended.err().map(|status| status.message().to_owned()).unwrap_or_default(),
            metadata,
            replies,
            milliseconds: started.elapsed().as_millis() as u64,
        })
    }

    async fn call(&self, mut client: EchoClient<Direct>, received: &mut Received) -> Result<(), Status> {
        match self.call {
            Call::Unary => {
                let request = self.with_metadata(self.request())?;
                received.one(client.unary(request).await?);
            }
            Call::Client => {
                let requests = self.with_metadata(stream::iter(self.requests()))?;
                received.one(client.client_stream(requests).await?);
            }
            Call::Server => {
                let request = self.with_metadata(self.request())?;
                received.all(client.server_stream(request).await?).await?;
            }
            Call::Bidi => {
                let requests = self.with_metadata(stream::iter(self.requests()))?;
                received.all(client.bidi_stream(requests).await?).await?;
            }
        }
        Ok(())
    }

    fn request(&self) -> EchoRequest {
        EchoRequest {
            message: self.message.clone(),
            count: self.count,
            status: self.status,
            delay_ms: self.delay.as_millis() as u32,
        }
    }

    fn requests(&self) -> Vec<EchoRequest> {
        (1..=self.count)
            .map(|number| EchoRequest { message: format!("{} {number}", self.message), ..self.request() })
            .collect()
    }

    fn with_metadata<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        for (name, value) in &self.header {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        // As a header and not as a deadline of this client's own, so that whoever is in between has to keep it.
        if let Some(deadline) = self.deadline {
            let written = format!("{}m", deadline.as_millis());
            let value = written.parse().map_err(|_| Status::internal("a deadline is no header"))?;
            request.metadata_mut().insert("grpc-timeout", value);
        }
        Ok(request)
    }
}

/// One HTTP/2 connection that sends what it is given. Tonic's own channel would end a call at its deadline, where others
/// have to.
#[derive(Clone)]
struct Direct(http2::SendRequest<Body>);

impl Direct {
    async fn connect(url: &Uri) -> anyhow::Result<Self> {
        let authority = url.authority().context("the URL names no host")?;
        let stream = TcpStream::connect(authority.as_str()).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.context("HTTP/2 handshake")?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }
}

impl Service<http::Request<Body>> for Direct {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

#[derive(Default)]
struct Received {
    metadata: BTreeMap<String, String>,
    replies: Vec<Reply>,
}

impl Received {
    fn one(&mut self, response: Response<EchoReply>) {
        add(&mut self.metadata, response.metadata());
        self.replies.push(response.into_inner().into());
    }

    async fn all(&mut self, response: Response<Streaming<EchoReply>>) -> Result<(), Status> {
        add(&mut self.metadata, response.metadata());
        let mut stream = response.into_inner();
        while let Some(reply) = stream.message().await? {
            self.replies.push(reply.into());
        }
        if let Some(trailers) = stream.trailers().await? {
            add(&mut self.metadata, &trailers);
        }
        Ok(())
    }
}

fn add(all: &mut BTreeMap<String, String>, metadata: &MetadataMap) {
    for entry in metadata.iter() {
        if let KeyAndValueRef::Ascii(name, value) = entry {
            all.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
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
