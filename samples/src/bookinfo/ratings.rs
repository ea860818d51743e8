//! ratings: how many stars each reviewer gave.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::App;

/// The stars of a book, by reviewer.
#[derive(Serialize, Deserialize)]
pub(super) struct Ratings {
    id: u32,
    #[serde(rename = "ratings")]
    pub(super) stars: BTreeMap<String, u8>,
    podname: String,
    version: String,
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/ratings/{id}", get(ratings))
}

async fn ratings(State(app): State<Arc<App>>, Path(id): Path<u32>) -> Json<Ratings> {
    Json(Ratings {
        id,
        stars: [("Reviewer1".to_owned(), 5), ("Reviewer2".to_owned(), 4)].into(),
        podname: app.identity.pod.clone(),
        version: app.identity.version.clone(),
    })
}
