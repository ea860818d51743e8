//! What is asked: who sends what to whom.

use model::{Labels, Text};

/// What the sender's proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Beside a workload; the request comes from its app.
    Sidecar,
    /// A gateway; the request comes from outside.
    Gateway,
}

/// Whose proxy routes the request.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called, for people: `productpage-v1`.
    pub name: String,
    /// Its namespace.
    pub namespace: Text,
    /// Its labels.
    pub labels: Labels,
    /// What its proxy is.
    pub role: Role,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The host that is connected to, as the app writes it: a name, short or full, or an address.
    pub host: String,
    /// The port that is connected to.
    pub port: u16,
    /// By TLS, which a gateway terminates.
    pub tls: bool,
    /// The authority (`Host`), where it isn't that of the connection.
    pub authority: Option<String>,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, in order; a name may occur several times.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A GET without headers.
    pub fn get(host: &str, port: u16, path: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            tls: false,
            authority: None,
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// What `Host` says: clients leave out the port that goes without saying.
    pub fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        match &self.authority {
            Some(authority) => authority.clone(),
            None if self.port == usual => self.host.clone(),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// The path without the query.
    pub fn bare_path(&self) -> &str {
        self.path.split_once('?').map_or(&self.path, |(path, _)| path)
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.path.split_once('?').map(|(_, query)| query)
    }

    /// A header or pseudo header; several of one name are one, joined by commas.
    pub fn header(&self, name: &str) -> Option<String> {
        match name.to_ascii_lowercase().as_str() {
            ":method" => return Some(self.method.clone()),
            ":authority" | "host" => return Some(self.authority()),
            ":scheme" => return Some(self.scheme().to_owned()),
            ":path" => return Some(self.path.clone()),
            _ => {}
        }
        let all: Vec<&str> = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!all.is_empty()).then(|| all.join(","))
    }

    /// The first parameter of the query with this name. A parameter without `=` is empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query()?.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(key, _)| *key == name)
            .map(|it| it.1)
    }
}
