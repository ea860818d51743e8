//! A gateway as the world outside the cluster sees it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use samples::client::{Answer, Pool, Route, Template};
use serde_json::Value;

use crate::test::Test;

/// A client of a gateway, on this machine.
pub struct Outside {
    /// `http://ADDRESS[:PORT]`
    pub url: String,
    pool: Pool,
}

impl Outside {
    /// Finds the address of a Service: what its load balancer says, else a node's own.
    pub(crate) async fn of(test: &Test, namespace: &str, service: &str) -> Result<Self> {
        let address = address(test, namespace, service, 80).await?;
        Ok(Self::at(format!("http://{}", address.trim_end_matches(":80"))))
    }

    /// A gateway of which the address is known.
    pub(crate) fn at(url: String) -> Self {
        Self { url, pool: Pool::new(Route::default()) }
    }

    /// GET of a path.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.get_with(path, &[]).await
    }

    /// GET of a path by a user, as the `end-user` header says.
    pub async fn get_as(&self, path: &str, user: Option<&str>) -> Result<Answer> {
        let user = user.map(|user| ("end-user", user));
        self.get_with(path, user.as_slice()).await
    }

    /// GET of a path at a host.
    pub async fn get_at(&self, host: &str, path: &str) -> Result<Answer> {
        self.get_with(path, &[("host", host)]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Answer> {
        let mut template = Template::get(&format!("{}{path}", self.url))?;
        for (name, value) in headers {
            template = template.header(name, value)?;
        }
        self.pool.send(&template, Duration::from_secs(10)).await
    }
}

/// `host:port` where a port of a Service is reached from outside.
pub(crate) async fn address(test: &Test, namespace: &str, service: &str, port: u16) -> Result<String> {
    test.eventually("the gateway's Service has an address", Duration::from_secs(30), async || {
        let found = test.get(&format!("service {service} -n {namespace}")).await?;
        match balanced(&found) {
            Some(host) => Ok(format!("{host}:{port}")),
            None => node_port(test, &found, port).await,
        }
    })
    .await
}

fn balanced(service: &Value) -> Option<&str> {
    let ingress = &service["status"]["loadBalancer"]["ingress"][0];
    ingress["ip"].as_str().or_else(|| ingress["hostname"].as_str())
}

async fn node_port(test: &Test, service: &Value, wanted: u16) -> Result<String> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let port = ports.filter(|port| port["port"] == wanted).find_map(|port| port["nodePort"].as_u64());
    let port = port.with_context(|| {
        format!("the gateway's Service has neither a load balancer's address nor a node port for {wanted}")
    })?;
    let nodes = test.get("nodes").await?;
    let addresses = nodes["items"][0]["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP");
    let address = internal.and_then(|found| found["address"].as_str()).context("the node has no address")?;
    Ok(format!("{address}:{port}"))
}
