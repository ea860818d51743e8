//! `/mirror`: the request's body comes back while it is still being sent.

use axum::{body::Body, extract::Request, response::Response};

pub(super) async fn mirror(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(Body::new(body));
    if let Some(kind) = parts.headers.get("content-type") {
        response.headers_mut().insert("content-type", kind.clone());
    }
    response
}
