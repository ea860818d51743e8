//! The process's log, and the signals that end it.

use std::io;

use proxy::admin::LogLevels;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, reload};

/// Starts logging to standard error; the returned levels can be changed at run time.
pub(crate) fn start(levels: &LogLevels, as_json: bool) -> LogLevels {
    let (filter, handle) = reload::Layer::new(levels.targets());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    let lines = if as_json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    levels.clone().with_handle(handle)
}

/// Waits for SIGTERM or SIGINT.
pub(crate) fn ended() -> io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
