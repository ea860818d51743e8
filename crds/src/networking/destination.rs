//! Where traffic is sent: a service, perhaps a subset of it and a port.

use crate::{macros::message, networking::Headers};

message! {
    /// A service in the registry, with an optional subset and port.
    #[schemars(extend("required" = ["host"]))]
    pub struct Destination {
        /// Name of the service; a short name is completed with the namespace of the rule, not of the client.
        pub host: String,
        /// Name of a subset that a DestinationRule of the host defines.
        pub subset: Option<String>,
        /// Port of the service; needed when it has several.
        pub port: Option<PortSelector>,
    }

    /// A port by number.
    pub struct PortSelector {
        /// The port number.
        pub number: Option<u32>,
    }

    /// A share of traffic, 0 to 100.
    #[derive(Copy)]
    pub struct Percent {
        /// The percentage, with fractions down to 0.0001.
        pub value: Option<f64>,
    }

    /// One weighted destination of an HTTP route.
    #[schemars(extend("required" = ["destination"]))]
    pub struct HttpRouteDestination {
        /// Where the requests go.
        pub destination: Destination,
        /// Share among the route's destinations; relative to the sum. A single destination takes everything.
        pub weight: Option<i32>,
        /// Header changes for requests to, and responses from, this destination.
        pub headers: Option<Headers>,
    }

    /// One weighted destination of a TLS or TCP route.
    #[schemars(extend("required" = ["destination"]))]
    pub struct RouteDestination {
        /// Where the connections go.
        pub destination: Destination,
        /// Share among the route's destinations; relative to the sum.
        pub weight: Option<i32>,
    }

    /// A destination that gets copies of requests; its answers are dropped.
    #[schemars(extend("required" = ["destination"]))]
    pub struct HttpMirrorPolicy {
        /// Where the copies go.
        pub destination: Destination,
        /// Share of requests that is copied; all when absent.
        pub percentage: Option<Percent>,
    }
}
