//! `echo tcp HOST:PORT`: one connection, byte for byte.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::StreamExt as _;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::Instant,
};

use super::{print, within};
use crate::{
    body::{self, Checksum},
    units,
};

/// The command.
#[derive(Args, Debug)]
pub struct Tcp {
    /// `host:port`
    address: String,
    /// Read the server's first line before sending anything
    #[arg(long)]
    greeting: bool,
    /// Text to send
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    send: String,
    /// Then send this much of a checksummed pattern
    #[arg(long, default_value = "0", value_parser = units::size)]
    bytes: u64,
    /// Don't tell the server that nothing more will come before as much has come back
    #[arg(long)]
    patient: bool,
    /// A line to send first, which doesn't come back: a PROXY header
    #[arg(long)]
    announce: Option<String>,
    /// How long the conversation may take
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    timeout: Duration,
}

/// Bytes that are shown of what came back.
const KEPT: usize = 4096;

#[derive(Serialize)]
pub(super) struct Conversation {
    greeting: Option<String>,
    received_bytes: u64,
    /// The first 4 KiB of what came back.
    received: String,
    /// Whether exactly the sent bytes came back.
    intact: bool,
    milliseconds: u64,
}

impl Tcp {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        print(&self.converse_in_time().await?)
    }

    pub(super) async fn converse_in_time(self) -> anyhow::Result<Conversation> {
        within(self.timeout, self.converse()).await
    }

    async fn converse(self) -> anyhow::Result<Conversation> {
        let started = Instant::now();
        let mut stream = TcpStream::connect(&self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        if let Some(line) = &self.announce {
            stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        }
        let greeting = if self.greeting { Some(read_line(&mut stream).await?) } else { None };
        let (mut read, mut write) = stream.into_split();
        let (came_back, mut comes_back) = watch::channel(0);
        let sending = tokio::spawn(async move {
            let mut sum = Checksum::default();
            let mut blocks = std::pin::pin!(body::blocks(self.bytes));
            sum.add(self.send.as_bytes());
            write.write_all(self.send.as_bytes()).await?;
            while let Some(block) = blocks.next().await {
                sum.add(&block);
                write.write_all(&block).await?;
            }
            let sent = sum.finish();
            if self.patient {
                // A server that ends the conversation early ends the waiting as well.
                let _ = comes_back.wait_for(|bytes| *bytes >= sent.bytes).await;
            }
            write.shutdown().await?;
            anyhow::Ok(sent)
        });
        let (mut sum, mut first, mut buffer) = (Checksum::default(), Vec::new(), vec![0; 64 * 1024]);
        loop {
            let length = read.read(&mut buffer).await.context("reading what comes back")?;
            if length == 0 {
                break;
            }
            sum.add(&buffer[..length]);
            came_back.send_modify(|bytes| *bytes += length as u64);
            let room = KEPT.saturating_sub(first.len()).min(length);
            first.extend_from_slice(&buffer[..room]);
        }
        drop(came_back);
        let (sent, received) = (sending.await?.context("sending")?, sum.finish());
        Ok(Conversation {
            greeting,
            received_bytes: received.bytes,
            received: String::from_utf8_lossy(&first).into_owned(),
            intact: sent == received,
            milliseconds: started.elapsed().as_millis() as u64,
        })
    }
}

async fn read_line(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.context("waiting for the server's greeting")?);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
