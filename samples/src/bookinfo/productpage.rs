//! productpage: the page that people see, and the same as JSON under /api/v1.
//!
//! Who logs in gets a cookie; its name goes to the other services as `end-user`.

use std::sync::Arc;

use axum::{
    Form, Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, headers::forwarded, page};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(index))
        .route("/index.html", get(index))
        .route("/productpage", get(productpage))
        .route("/login", post(login))
        .route("/logout", get(logout))
        .route("/api/v1/products", get(products))
        .route("/api/v1/products/{id}", get(details))
        .route("/api/v1/products/{id}/reviews", get(reviews))
        .route("/api/v1/products/{id}/ratings", get(ratings))
}

async fn index() -> Html<String> {
    Html(page::index())
}

#[derive(Deserialize)]
struct Asked {
    u: Option<String>,
}

async fn productpage(
    State(app): State<Arc<App>>,
    Query(asked): Query<Asked>,
    received: HeaderMap,
) -> Html<String> {
    let headers = outgoing(&received, asked.u.as_deref());
    let (details, reviews) = futures::join!(
        app.details.get("/details/0", headers.clone()),
        app.reviews.get("/reviews/0", headers.clone()),
    );
    let user = headers.get("end-user").and_then(|user| user.to_str().ok());
    Html(page::product(&app.identity, user, &details, &reviews))
}

async fn products() -> Json<Value> {
    Json(json!([{
        "id": 0,
        "title": page::TITLE,
        "descriptionHtml": page::DESCRIPTION,
    }]))
}

async fn details(app: State<Arc<App>>, Path(id): Path<u32>, received: HeaderMap) -> Response {
    answer(app.details.get(&format!("/details/{id}"), outgoing(&received, None)).await)
}

async fn reviews(app: State<Arc<App>>, Path(id): Path<u32>, received: HeaderMap) -> Response {
    answer(app.reviews.get(&format!("/reviews/{id}"), outgoing(&received, None)).await)
}

async fn ratings(app: State<Arc<App>>, Path(id): Path<u32>, received: HeaderMap) -> Response {
    answer(app.ratings.get(&format!("/ratings/{id}"), outgoing(&received, None)).await)
}

#[derive(Deserialize)]
struct Login {
    username: String,
}

async fn login(Form(login): Form<Login>) -> Response {
    // Quotes, spaces and semicolons would end the cookie.
    let plain: String = login
        .username
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "-_.@".contains(*letter))
        .collect();
    let cookie = format!("session={plain}; Path=/; HttpOnly");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/productpage")).into_response()
}

async fn logout() -> Response {
    ([(header::SET_COOKIE, "session=; Path=/; Max-Age=0")], Redirect::to("/productpage")).into_response()
}

fn answer(called: Result<Value, (u16, String)>) -> Response {
    match called {
        Ok(value) => Json(value).into_response(),
        Err((status, reason)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            (status, Json(json!({"error": reason}))).into_response()
        }
    }
}

/// The headers to call others with: `end-user` is the logged-in user, else what came.
fn outgoing(received: &HeaderMap, named: Option<&str>) -> HeaderMap {
    let mut headers = forwarded(received);
    let user = session(received).or_else(|| named.map(ToOwned::to_owned));
    if let Some(Ok(user)) = user.map(|user| HeaderValue::from_str(&user)) {
        headers.insert("end-user", user);
    }
    headers
}

fn session(received: &HeaderMap) -> Option<String> {
    let cookies = received.get(header::COOKIE)?.to_str().ok()?;
    cookies
        .split(';')
        .find_map(|cookie| cookie.trim().strip_prefix("session="))
        .filter(|user| !user.is_empty())
        .map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(headers: &[(&str, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_user_is_the_cookies_else_the_queries_else_the_headers() {
        let cases = [
            (vec![], None, None),
            (vec![("end-user", "anna")], None, Some("anna")),
            (vec![("end-user", "anna")], Some("test"), Some("test")),
            (vec![("cookie", "a=b; session=jason"), ("end-user", "anna")], Some("test"), Some("jason")),
            (vec![("cookie", "session=")], None, None),
        ];
        for (headers, named, expected) in cases {
            let outgoing = outgoing(&received(&headers), named);
            let user = outgoing.get("end-user").map(|user| user.to_str().unwrap());
            assert_eq!(user, expected, "{headers:?} {named:?}");
        }
    }
}
