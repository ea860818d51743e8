//! One HTTP rule of a VirtualService: what it matches and what then happens.

use super::{
    CorsPolicy, Delegate, Destination, Headers, HttpDirectResponse, HttpFaultInjection, HttpMatchRequest,
    HttpMirrorPolicy, HttpRedirect, HttpRetry, HttpRewrite, HttpRouteDestination, Percent,
};
use crate::{Duration, macros::message};

message! {
    /// A rule for HTTP requests.
    pub struct HttpRoute {
        /// Name of the rule, seen in access logs.
        pub name: Option<String>,
        /// Conditions of which one must hold; none means that the rule takes every request.
        #[serde(rename = "match")]
        pub matches: Vec<HttpMatchRequest>,
        /// Weighted destinations.
        pub route: Vec<HttpRouteDestination>,
        /// Answer with a redirect instead of forwarding.
        pub redirect: Option<HttpRedirect>,
        /// Answer with a fixed response instead of forwarding.
        pub direct_response: Option<HttpDirectResponse>,
        /// Continue with the rules of another VirtualService.
        pub delegate: Option<Delegate>,
        /// Change path or authority before forwarding.
        pub rewrite: Option<HttpRewrite>,
        /// Time for the whole request, all tries included. No limit when absent.
        pub timeout: Option<Duration>,
        /// When and how often failed requests are tried again.
        pub retries: Option<HttpRetry>,
        /// Faults injected on purpose; switches timeout and retries of this rule off.
        pub fault: Option<HttpFaultInjection>,
        /// One destination that gets copies of the requests.
        pub mirror: Option<Destination>,
        /// Several destinations that get copies of the requests.
        pub mirrors: Vec<HttpMirrorPolicy>,
        /// Deprecated: share of copied requests in whole percents. Use mirrorPercentage.
        #[serde(alias = "mirror_percent")]
        #[schemars(extend("nullable" = true, "x-alias" = "mirror_percent"))]
        pub mirror_percent: Option<u32>,
        /// Share of requests copied to `mirror`; all when absent.
        pub mirror_percentage: Option<Percent>,
        /// Cross-origin policy; preflight requests are answered by the proxy.
        pub cors_policy: Option<CorsPolicy>,
        /// Header changes for requests and responses of this rule.
        pub headers: Option<Headers>,
    }
}
