//! details: facts about the book.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};

use super::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/details/{id}", get(details))
}

async fn details(State(app): State<Arc<App>>, Path(id): Path<u32>) -> Json<Value> {
    Json(json!({
        "id": id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
        "podname": app.identity.pod,
        "version": app.identity.version,
    }))
}
