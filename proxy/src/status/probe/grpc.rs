//! gRPC probes: `grpc.health.v1.Health/Check`.

use std::net::{IpAddr, SocketAddr};

use http::uri::PathAndQuery;
use serde::Deserialize;

use super::{ProbeError, failed, port};
use crate::identity::over;
use crate::status::client::connect;

/// `SERVING` in `HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;

#[derive(Debug, Deserialize)]
pub(super) struct Grpc {
    pub(super) port: serde_json::Value,
    #[serde(default)]
    service: Option<String>,
}

/// `grpc.health.v1.HealthCheckRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

impl Grpc {
    pub(super) async fn run(&self, destination: IpAddr) -> Result<(), ProbeError> {
        let address = SocketAddr::new(destination, port(&self.port).unwrap_or_default());
        let stream = connect(address).await.map_err(failed)?;
        let channel =
            over(stream, &address.to_string()).await.map_err(|e| ProbeError::Failed(e.to_string()))?;
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.map_err(|error| ProbeError::Failed(error.to_string()))?;
        let request = HealthCheckRequest { service: self.service.clone().unwrap_or_default() };
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let answer = client.unary(tonic::Request::new(request), path, codec).await;
        match answer.map(|answer| answer.into_inner().status) {
            Ok(SERVING) => Ok(()),
            Ok(other) => Err(ProbeError::Failed(format!("the service is not serving (status {other})"))),
            Err(status) => Err(ProbeError::Failed(format!("{:?}: {}", status.code(), status.message()))),
        }
    }
}
