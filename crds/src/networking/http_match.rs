//! Conditions on HTTP requests.

use std::collections::BTreeMap;

use crate::{macros::message, rules::at_most_one};

message! {
    /// A condition on a text: one of exact, prefix or regex. An empty one asks only for presence.
    #[schemars(extend("oneOf" = at_most_one(&["exact", "prefix", "regex"])))]
    #[derive(Eq, Hash)]
    pub struct StringMatch {
        /// The whole text.
        pub exact: Option<String>,
        /// How the text begins.
        pub prefix: Option<String>,
        /// An RE2 expression that the whole text must match.
        pub regex: Option<String>,
    }

    /// Conditions that must all hold for a request.
    pub struct HttpMatchRequest {
        /// Name of the condition, appended to the rule's name in access logs.
        pub name: Option<String>,
        /// Path of the request, without the query.
        pub uri: Option<StringMatch>,
        /// Scheme of the request.
        pub scheme: Option<StringMatch>,
        /// Method of the request.
        pub method: Option<StringMatch>,
        /// Authority (Host) of the request.
        pub authority: Option<StringMatch>,
        /// Headers, by lower-case name.
        pub headers: BTreeMap<String, StringMatch>,
        /// Port of the host that was addressed.
        pub port: Option<u32>,
        /// Labels of the calling workload. Ignored when `gateways` doesn't contain `mesh`.
        pub source_labels: BTreeMap<String, String>,
        /// Gateways to which the condition is limited; overrides the object's own list.
        pub gateways: Vec<String>,
        /// Query parameters, by name.
        pub query_params: BTreeMap<String, StringMatch>,
        /// Compare the path without regard to case (exact and prefix only).
        pub ignore_uri_case: Option<bool>,
        /// Headers that must not match.
        pub without_headers: BTreeMap<String, StringMatch>,
        /// Namespace of the calling workload.
        pub source_namespace: Option<String>,
        /// Prefix under which Envoy counts statistics of this route.
        pub stat_prefix: Option<String>,
    }
}
