//! What an HTTP rule does instead of, or besides, forwarding.

use std::collections::BTreeMap;

use crate::{
    Bytes,
    macros::{keywords, message},
    rules::at_most_one,
};

message! {
    /// Answer with a redirect.
    #[schemars(extend("oneOf" = at_most_one(&["port", "derivePort"])))]
    pub struct HttpRedirect {
        /// New path; replaces the whole path.
        pub uri: Option<String>,
        /// New authority.
        pub authority: Option<String>,
        /// New port.
        pub port: Option<u32>,
        /// Where the new port comes from, when not given as a number.
        pub derive_port: Option<RedirectPortSelection>,
        /// New scheme.
        pub scheme: Option<String>,
        /// Status code; 301 when absent.
        pub redirect_code: Option<u32>,
        /// Replaces only the matched prefix of the path.
        pub prefix_rewrite: Option<String>,
    }

    /// Answer with a fixed response.
    #[schemars(extend("required" = ["status"]))]
    pub struct HttpDirectResponse {
        /// Status code.
        pub status: u32,
        /// Body; empty when absent.
        pub body: Option<HttpBody>,
    }

    /// A body, as text or as bytes.
    #[schemars(extend("oneOf" = at_most_one(&["string", "bytes"])))]
    pub struct HttpBody {
        /// The body as text.
        pub string: Option<String>,
        /// The body as base64.
        pub bytes: Option<Bytes>,
    }

    /// Change path or authority before forwarding.
    pub struct HttpRewrite {
        /// New path; replaces the matched prefix when the match is one, else the whole path.
        pub uri: Option<String>,
        /// New authority.
        pub authority: Option<String>,
        /// Rewrite the path by a regular expression.
        pub uri_regex_rewrite: Option<RegexRewrite>,
    }

    /// A substitution by regular expression.
    pub struct RegexRewrite {
        /// An RE2 expression.
        #[serde(rename = "match")]
        pub pattern: Option<String>,
        /// What replaces each match; `\1` is the first group.
        pub rewrite: Option<String>,
    }

    /// The VirtualService whose rules follow.
    pub struct Delegate {
        /// Its name.
        pub name: Option<String>,
        /// Its namespace; that of the root when absent.
        pub namespace: Option<String>,
    }

    /// Header changes in both directions.
    pub struct Headers {
        /// Changes before a request is forwarded.
        pub request: Option<HeaderOperations>,
        /// Changes before a response is returned.
        pub response: Option<HeaderOperations>,
    }

    /// Header changes; Envoy's `%...%` operators work in values.
    pub struct HeaderOperations {
        /// Headers that are replaced.
        pub set: BTreeMap<String, String>,
        /// Headers that are added beside existing ones.
        pub add: BTreeMap<String, String>,
        /// Headers that are removed.
        pub remove: Vec<String>,
    }
}

keywords! {
    /// Where the port of a redirect comes from.
    pub enum RedirectPortSelection {
        /// 80 or 443, by scheme.
        FromProtocolDefault = "FROM_PROTOCOL_DEFAULT",
        /// The port the request came to.
        FromRequestPort = "FROM_REQUEST_PORT",
    }
}
