//! Which protocol a port speaks, as people declare it: by `appProtocol`, by port name, or not at all.

/// Application protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1, upgraded where both ends can.
    Http,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// TLS that carries HTTP, opaque to a sidecar.
    Https,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// HTTP proxy requests (`CONNECT`, absolute form).
    HttpProxy,
    /// Opaque bytes.
    Tcp,
    /// TLS, routed by SNI.
    Tls,
    /// MongoDB, opaque bytes to us.
    Mongo,
    /// MySQL, opaque bytes to us.
    Mysql,
    /// Redis, opaque bytes to us.
    Redis,
    /// Datagrams, left alone.
    Udp,
    /// Not declared: found out from the first bytes.
    Auto,
}

/// Ports whose protocols are known to let the server speak first; detection would wait in vain.
const SERVER_FIRST_PORTS: [u16; 4] = [25, 53, 3306, 27017];

impl Protocol {
    /// By name as in a port's `protocol` of an Istio kind; unknown names mean detection.
    pub fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "https" => Self::Https,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "http_proxy" => Self::HttpProxy,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "mongo" => Self::Mongo,
            "mysql" => Self::Mysql,
            "redis" => Self::Redis,
            "udp" => Self::Udp,
            _ => Self::Auto,
        }
    }

    /// By what a Kubernetes Service says about a port: `appProtocol` wins over the prefix of the name.
    pub fn of_port(number: u16, name: &str, app_protocol: Option<&str>, transport: Option<&str>) -> Self {
        if transport == Some("UDP") {
            return Self::Udp;
        }
        match app_protocol {
            Some("kubernetes.io/h2c") => return Self::Http2,
            Some("kubernetes.io/ws") => return Self::Http,
            Some("kubernetes.io/wss") => return Self::Https,
            _ => {}
        }
        let declared = app_protocol.unwrap_or(name);
        if declared.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("grpc-web")) {
            return Self::GrpcWeb;
        }
        let prefix = declared.split('-').next().unwrap_or_default();
        match Self::parse(prefix) {
            Self::Auto if SERVER_FIRST_PORTS.contains(&number) => Self::Tcp,
            protocol => protocol,
        }
    }

    /// Declared to be some form of HTTP.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb | Self::HttpProxy)
    }

    /// Declared to be HTTP/2 underneath.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// TLS of the app's own.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Declared to be opaque bytes, TLS included.
    pub fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Https | Self::Mongo | Self::Mysql | Self::Redis)
    }

    /// The protocol inside once TLS is terminated.
    pub fn after_tls(self) -> Self {
        match self {
            Self::Https => Self::Http,
            Self::Tls => Self::Tcp,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_is_chosen_by_app_protocol_then_name_then_number() {
        for (number, name, app_protocol, transport, expected) in [
            (80, "http", None, None, Protocol::Http),
            (80, "http-web", None, Some("TCP"), Protocol::Http),
            (80, "web-http", None, None, Protocol::Auto),
            (80, "", None, None, Protocol::Auto),
            (80, "tcp", Some("http"), None, Protocol::Http),
            (80, "http", Some("kubernetes.io/h2c"), None, Protocol::Http2),
            (80, "http", Some("kubernetes.io/wss"), None, Protocol::Https),
            (80, "grpc-web-x", None, None, Protocol::GrpcWeb),
            (80, "grpc-x", None, None, Protocol::Grpc),
            (80, "GRPC", None, None, Protocol::Grpc),
            (53, "dns", None, Some("UDP"), Protocol::Udp),
            (53, "dns", None, None, Protocol::Tcp),
            (3306, "db", None, None, Protocol::Tcp),
            (3306, "http-db", None, None, Protocol::Http),
            (443, "https", None, None, Protocol::Https),
        ] {
            assert_eq!(Protocol::of_port(number, name, app_protocol, transport), expected, "{name} {number}");
        }
    }
}
