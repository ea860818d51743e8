//! Which headers a service hands on to the ones that it calls: tracing's, so
//! that spans join up, and the user's, so that routes can match on them.

use axum::http::HeaderMap;

const FORWARDED: &[&str] = &[
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "end-user",
    "user-agent",
    "authorization",
    "cookie",
];

/// The part of `received` that travels on.
pub(super) fn forwarded(received: &HeaderMap) -> HeaderMap {
    FORWARDED.iter().filter_map(|name| Some((name.parse().ok()?, received.get(*name)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracing_and_user_headers_travel_on_and_others_stay() {
        let received: HeaderMap = [("x-b3-traceid", "1"), ("end-user", "jason"), ("accept", "*/*")]
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let forwarded = forwarded(&received);
        assert_eq!(forwarded["x-b3-traceid"], "1");
        assert_eq!(forwarded["end-user"], "jason");
        assert!(!forwarded.contains_key("accept"));
    }
}
