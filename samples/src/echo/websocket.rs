//! `/ws`: a WebSocket that sends every message back.

use axum::{
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    response::Response,
};

pub(super) async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(converse)
}

async fn converse(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let echoed = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => Ok(()), // answered by the library
        };
        if echoed.is_err() {
            return;
        }
    }
}
