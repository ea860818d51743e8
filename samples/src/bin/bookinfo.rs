//! `bookinfo productpage|details|reviews|ratings`: one of the four services.

use clap::Parser;
use samples::{bookinfo, serve};

/// A bookshop's page out of four small services.
#[derive(Parser)]
#[command(name = "bookinfo", version)]
struct Arguments {
    /// Which of the four to be
    service: bookinfo::Service,
    #[command(flatten)]
    settings: bookinfo::Settings,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    bookinfo::run(arguments.service, arguments.settings, serve::shutdown_on_signal()?).await
}
