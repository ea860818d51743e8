//! reviews: v1 has no stars, v2 shows black ones and v3 red ones, both from
//! ratings.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::get,
};
use serde_json::{Value, json};

use super::{App, headers::forwarded, ratings::Ratings};

const SAID: [(&str, &str); 2] = [
    ("Reviewer1", "Two pairs of twins, one evening, and I laughed from the first mistake to the last."),
    ("Reviewer2", "Lighter than his later plays, and none the worse for it."),
];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/reviews/{id}", get(reviews))
}

async fn reviews(State(app): State<Arc<App>>, Path(id): Path<u32>, received: HeaderMap) -> Json<Value> {
    let stars = match color(&app.identity.version) {
        Some(color) => Some((color, stars(&app, id, &received).await)),
        None => None,
    };
    let review = |(reviewer, text): (&str, &str)| {
        let mut review = json!({"reviewer": reviewer, "text": text});
        match &stars {
            Some((color, Ok(ratings))) => {
                review["rating"] = json!({"stars": ratings.stars.get(reviewer), "color": color});
            }
            Some((_, Err(reason))) => {
                review["rating"] =
                    json!({"error": "Ratings service is currently unavailable", "reason": reason});
            }
            None => (),
        }
        review
    };
    Json(json!({
        "id": id.to_string(),
        "podname": app.identity.pod,
        "version": app.identity.version,
        "reviews": SAID.map(review),
    }))
}

fn color(version: &str) -> Option<&'static str> {
    match version {
        "v1" => None,
        "v2" => Some("black"),
        _ => Some("red"),
    }
}

async fn stars(app: &App, id: u32, received: &HeaderMap) -> Result<Ratings, String> {
    let answer = app.ratings.get(&format!("/ratings/{id}"), forwarded(received)).await;
    let answer = answer.map_err(|(status, reason)| format!("{status}: {reason}"))?;
    serde_json::from_value(answer).map_err(|error| format!("ratings answered something else: {error}"))
}
