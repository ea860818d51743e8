//! How the leader asks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{Address, Key, Mesh};
use pki::{Identity, SpiffeId};
use tokio::net::TcpStream;

use super::{ACCOUNT, Answers, PATH, Question};
use crate::ca::Authority;
use crate::status::desk::Others;

/// A replica that takes longer is not heard.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Certificates are made anew for each connection.
const TTL: Duration = Duration::from_hours(1);
/// An answer to ten thousand questions.
const MAX_ANSWERS: usize = 16 << 20;

/// Asks all other replicas.
pub(crate) struct Asker {
    pub(crate) authority: Arc<Authority>,
    /// Namespace of the control plane.
    pub(crate) namespace: String,
    /// Name of this replica.
    pub(crate) me: String,
    /// Port of discovery.
    pub(crate) port: u16,
}

/// Connections that are open, by replica.
pub(crate) type Open = BTreeMap<String, SendRequest<Body>>;

impl Asker {
    /// Asks each replica about each generation, all at once.
    pub(in crate::status) async fn ask(
        &self,
        mesh: &Mesh,
        questions: &[(Key, i64)],
        open: &mut Open,
    ) -> Others {
        let replicas = if questions.is_empty() { BTreeMap::new() } else { self.replicas(mesh) };
        open.retain(|name, connection| replicas.contains_key(name) && !connection.is_closed());
        let body: Vec<_> = questions.iter().map(|(key, generation)| Question::of(key, *generation)).collect();
        let Ok(body) = serde_json::to_vec(&body) else { return Others::default() };
        let trust_domain = mesh.trust_domain();
        let calls = replicas.into_iter().map(|(name, ip)| {
            let (known, body) = (open.get(&name).cloned(), body.clone());
            async move {
                let call = self.call(ip, trust_domain, known, body);
                let answer = match tokio::time::timeout(TIMEOUT, call).await {
                    Ok(answer) => answer,
                    Err(_) => Err("it takes too long".to_owned()),
                };
                (name, answer)
            }
        });
        let mut others = Others::default();
        for (name, answer) in futures::future::join_all(calls).await {
            match answer {
                Ok((connection, answers)) if answers.len() == questions.len() => {
                    open.insert(name.clone(), connection);
                    for ((key, _), answer) in questions.iter().zip(answers) {
                        others.hear(&name, key, answer);
                    }
                }
                Ok(_) => others.silent = Some(name),
                Err(problem) => {
                    tracing::debug!(replica = name, problem, "a replica does not say how its proxies do");
                    open.remove(&name);
                    others.silent = Some(name);
                }
            }
        }
        others
    }

    /// Ready replicas of every revision, but for this one.
    fn replicas(&self, mesh: &Mesh) -> BTreeMap<String, IpAddr> {
        let keys = mesh.services_in.get(self.namespace.as_str()).into_iter().flatten();
        let ours = |host: &str| {
            host.split('.').next().is_some_and(|name| name == ACCOUNT || name.starts_with("istiod-"))
        };
        let groups = keys.filter(|key| ours(&key.host)).filter_map(|key| mesh.endpoints.get(key));
        let endpoints = groups.flat_map(|known| &known.groups).flat_map(|group| &group.endpoints);
        let pods = endpoints.filter_map(|endpoint| {
            let pod = endpoint.workload.as_ref()?.instance.name.to_string();
            match endpoint.address {
                Address::Ip(ip) if pod != self.me => Some((pod, ip)),
                _ => None,
            }
        });
        pods.collect()
    }

    async fn call(
        &self,
        ip: IpAddr,
        trust_domain: &str,
        known: Option<SendRequest<Body>>,
        body: Vec<u8>,
    ) -> Result<(SendRequest<Body>, Answers), String> {
        let mut connection = match known {
            Some(known) => known,
            None => self.connect(SocketAddr::new(ip, self.port), trust_domain).await?,
        };
        let request = Request::post(format!("https://{}{PATH}", self.server_name()))
            .header("content-type", "application/json")
            .body(Body::from(body))
            .map_err(|e| e.to_string())?;
        connection.ready().await.map_err(|e| e.to_string())?;
        let response = connection.send_request(request).await.map_err(|e| e.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWERS);
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        let answers = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        Ok((connection, answers))
    }

    async fn connect(&self, address: SocketAddr, trust_domain: &str) -> Result<SendRequest<Body>, String> {
        let ca = self.authority.ca();
        let id = SpiffeId::for_service_account(trust_domain, &self.namespace, ACCOUNT);
        let id = id.map_err(|e| e.to_string())?;
        let identity = || {
            let cert = ca.issue_workload(&id, TTL, SystemTime::now())?;
            let config = pki::tls::control_plane_client_config(Identity::new(cert, ca.bundle().clone()))?;
            Ok::<_, pki::PkiError>((config, pki::tls::sni(&self.server_name())?))
        };
        let (config, name) = identity().map_err(|e| e.to_string())?;
        let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream);
        let io = TokioIo::new(stream.await.map_err(|e| e.to_string())?);
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), io).await.map_err(|e| e.to_string())?;
        // Ends when the sender is dropped or the replica goes; whoever sends hears of it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// In the certificate of every revision.
    fn server_name(&self) -> String {
        format!("{ACCOUNT}.{}.svc", self.namespace)
    }
}
