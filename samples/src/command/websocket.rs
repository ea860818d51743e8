//! `echo ws URL`: a WebSocket conversation.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::{print, within};
use crate::units;

/// The command.
#[derive(Args, Debug)]
pub struct Ws {
    /// `ws://host:port/ws`
    url: String,
    #[arg(long, default_value = "hello")]
    message: String,
    /// How many messages to send, each after the one before came back
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Pause between messages
    #[arg(long, default_value = "0s", value_parser = units::duration)]
    interval: Duration,
    #[arg(long, default_value = "30s", value_parser = units::duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Conversation {
    /// The status of the upgrade: 101.
    status: u16,
    received: Vec<String>,
    /// Whether each message came back as it was sent.
    intact: bool,
}

impl Ws {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        print(&within(self.timeout, self.converse()).await?)
    }

    async fn converse(self) -> anyhow::Result<Conversation> {
        let (mut socket, response) = connect_async(self.url.as_str()).await.context("WebSocket handshake")?;
        let (mut received, mut intact) = (Vec::new(), true);
        for number in 1..=self.count {
            let sent = format!("{} {number}", self.message);
            socket.send(Message::text(sent.clone())).await.context("sending")?;
            let answer = socket.next().await.context("the server closed the WebSocket")??.into_text()?;
            intact &= answer.as_str() == sent;
            received.push(answer.to_string());
            tokio::time::sleep(self.interval).await;
        }
        socket.close(None).await.context("closing")?;
        Ok(Conversation { status: response.status().as_u16(), received, intact })
    }
}
