//! `echo get URL`: requests, one after the other.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{header, print};
use crate::{
    body,
    client::{Answer, Payload, Pool, Route, Template},
    units,
};

/// What to ask, and how to get there; shared with `load`.
#[derive(Args, Debug)]
pub(super) struct Target {
    /// `http://` or `https://`
    url: String,
    /// GET, or POST with a body
    #[arg(long, short = 'X')]
    method: Option<Method>,
    /// `name: value`; may be given several times
    #[arg(long, short = 'H', value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Text to send
    #[arg(long, short = 'd', conflicts_with = "body_bytes")]
    body: Option<String>,
    /// Send this much of a checksummed pattern
    #[arg(long, value_parser = units::size)]
    body_bytes: Option<u64>,
    /// HTTP/2 by prior knowledge
    #[arg(long)]
    http2: bool,
    /// Connect to this `host:port` instead of the URL's
    #[arg(long)]
    connect_to: Option<String>,
    /// Trust only these certificates, in PEM or in a file of it; without it, any
    #[arg(long, allow_hyphen_values = true)]
    cacert: Option<String>,
    /// Certificate and key to show to a server that asks, in PEM or in a file of it
    #[arg(long, allow_hyphen_values = true)]
    identity: Option<String>,
    /// Speak this version of TLS only
    #[arg(long, value_parser = ["1.2", "1.3"])]
    tls: Option<String>,
    /// Speak this suite of TLS 1.2 only, such as `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`
    #[arg(long)]
    cipher: Option<String>,
    /// Offer this protocol by ALPN before HTTP's own
    #[arg(long)]
    alpn: Option<String>,
    /// A line to begin each connection with: a PROXY header
    #[arg(long)]
    announce: Option<String>,
    /// The TLS server name to ask for
    #[arg(long)]
    sni: Option<String>,
    /// How long to wait for a whole answer
    #[arg(long, default_value = "30s", value_parser = units::duration)]
    pub(super) timeout: Duration,
}

impl Target {
    pub(super) fn template(&self) -> anyhow::Result<Template> {
        let mut template = Template::get(&self.url)?;
        template.headers = self.header.iter().cloned().collect::<HeaderMap>();
        template.payload = match (&self.body, self.body_bytes) {
            (Some(text), _) => Payload::Text(text.clone()),
            (None, Some(length)) => Payload::Pattern(length),
            (None, None) => Payload::Empty,
        };
        let usual = if matches!(template.payload, Payload::Empty) { Method::GET } else { Method::POST };
        template.method = self.method.clone().unwrap_or(usual);
        Ok(template)
    }

    pub(super) fn route(&self) -> anyhow::Result<Route> {
        let read = |written: &String| {
            if written.starts_with("-----BEGIN") {
                return Ok(written.clone());
            }
            std::fs::read_to_string(written).with_context(|| format!("reading {written}"))
        };
        Ok(Route {
            connect_to: self.connect_to.clone(),
            http2: self.http2,
            trust: self.cacert.as_ref().map(read).transpose()?,
            identity: self.identity.as_ref().map(read).transpose()?,
            version: self.tls.clone(),
            cipher: self.cipher.clone(),
            alpn: self.alpn.clone(),
            announce: self.announce.clone(),
            server_name: self.sni.clone(),
        })
    }
}

/// The command.
#[derive(Args, Debug)]
pub struct Get {
    #[command(flatten)]
    target: Target,
    /// How many requests
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Send all of them at the same time, on connections of their own
    #[arg(long)]
    at_once: bool,
    /// Fail unless the answer is so many bytes of the pattern
    #[arg(long, value_parser = units::size)]
    expect_bytes: Option<u64>,
}

impl Get {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        self.each(|answer| print(&answer)).await
    }

    /// Sends the requests and hands each answer on.
    pub(super) async fn each(self, mut see: impl FnMut(Answer) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (template, pool) = (self.target.template()?, Pool::new(self.target.route()?));
        if self.at_once {
            let all = (0..self.count).map(|_| pool.send(&template, self.target.timeout));
            for answer in futures::future::try_join_all(all).await? {
                see(answer)?;
            }
            return Ok(());
        }
        for _ in 0..self.count {
            let answer = pool.send(&template, self.target.timeout).await?;
            let received = answer.body.clone();
            see(answer)?;
            if let Some(length) = self.expect_bytes {
                let expected = body::expected(length).await;
                anyhow::ensure!(received == expected, "expected {expected:?}, received {received:?}");
            }
        }
        Ok(())
    }
}
