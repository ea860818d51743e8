//! Bookinfo: productpage calls details and reviews; reviews v2 and v3 call
//! ratings. Paths, ports, names and forwarded headers are those of the
//! application of that name that mesh guides use.

mod backend;
mod details;
mod headers;
mod page;
mod productpage;
mod ratings;
mod reviews;

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use serde_json::json;

use self::backend::Backend;
use crate::{
    identity::Identity,
    serve::{self, Shutdown},
};

/// One of the four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    /// The page that people see
    Productpage,
    /// Facts about the book
    Details,
    /// What readers say; stars depend on the version
    Reviews,
    /// Stars
    Ratings,
}

/// Where to listen, and where the others are.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// The port to serve
    #[arg(long, env = "BOOKINFO_PORT", default_value_t = 9080)]
    pub port: u16,
    /// Where details answers
    #[arg(long, env = "DETAILS_URL", default_value = "http://details:9080")]
    pub details: String,
    /// Where reviews answers
    #[arg(long, env = "REVIEWS_URL", default_value = "http://reviews:9080")]
    pub reviews: String,
    /// Where ratings answers
    #[arg(long, env = "RATINGS_URL", default_value = "http://ratings:9080")]
    pub ratings: String,
}

/// What every handler has at hand.
struct App {
    identity: Identity,
    details: Backend,
    reviews: Backend,
    ratings: Backend,
}

/// Serves until shutdown.
pub async fn run(service: Service, settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let listener = serve::bind(settings.port).await?;
    serve::http(listener, router(service, &settings), None, shutdown).await;
    Ok(())
}

/// The routes of one service.
pub fn router(service: Service, settings: &Settings) -> Router {
    let (name, routes) = match service {
        Service::Productpage => ("productpage", productpage::routes()),
        Service::Details => ("details", details::routes()),
        Service::Reviews => ("reviews", reviews::routes()),
        Service::Ratings => ("ratings", ratings::routes()),
    };
    let app = App {
        identity: Identity::from_env(name),
        details: Backend::new(&settings.details),
        reviews: Backend::new(&settings.reviews),
        ratings: Backend::new(&settings.ratings),
    };
    let health = move || async move { Json(json!({"status": format!("{name} is healthy")})) };
    routes.route("/health", get(health)).with_state(Arc::new(app))
}
