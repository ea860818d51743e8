//! Keeps a delta ADS stream open and hands what comes to the applier.

use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use pki::{Identity, TrustBundle};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use xds::client::DeltaClient;

use super::Subscription;
use crate::identity::{ChannelError, Target, bearer, connect};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// A stream that lasted this long was a good one: the next attempt is made at once.
const GOOD_STREAM: Duration = Duration::from_secs(10);
/// The largest response that is accepted: a mesh's endpoints in one message, and room to spare.
const MAX_RESPONSE: usize = 128 << 20;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("cannot read the roots {path}: {source}")]
    Roots { path: String, source: std::io::Error },
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("the control plane at {address} ended the stream: {code:?}: {message}{hint}")]
    Ended { address: String, code: tonic::Code, message: String, hint: &'static str },
    #[error("the control plane at {0} ended the stream")]
    Closed(String),
}

/// Runs until it is dropped.
pub async fn run(mut subscription: Subscription) {
    let mut client = DeltaClient::new(subscription.node.clone());
    subscription.applier.wants_all_of().for_each(|kind| client.subscribe_all(kind.url()));
    let mut failures: u32 = 0;
    loop {
        let began = Instant::now();
        let Err(error) = one_stream(&mut subscription, &mut client).await;
        client.disconnected();
        if began.elapsed() >= GOOD_STREAM {
            failures = 0;
        }
        let wait = backoff(failures, rand::random());
        failures += 1;
        tracing::warn!(retry_in = ?wait, "{error}");
        subscription.applier.progress().disconnected(error.to_string());
        quiet(&mut subscription, &mut client, wait).await;
    }
}

/// Exponential, with up to half taken off at random, so that a fleet does not come back as one.
fn backoff(failures: u32, random: f64) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.min(16)).min(LONGEST_RETRY).mul_f64(1.0 - 0.5 * random)
}

/// Waits without a stream; what is due by time still happens.
async fn quiet(subscription: &mut Subscription, client: &mut DeltaClient, wait: Duration) {
    let end = Instant::now() + wait;
    loop {
        let due = subscription.applier.next_deadline().filter(|due| *due < end);
        tokio::time::sleep_until(due.unwrap_or(end)).await;
        subscription.applier.tick(client, Instant::now());
        if due.is_none() {
            return;
        }
    }
}

async fn one_stream(
    subscription: &mut Subscription,
    client: &mut DeltaClient,
) -> Result<std::convert::Infallible, StreamError> {
    let address = subscription.discovery.address.clone();
    let channel = connect(&target(subscription).await?).await?;
    let mut service = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE);
    // The server takes one request at a time; the queue only evens out bursts.
    let (requests, queue) = mpsc::channel::<DeltaDiscoveryRequest>(64);
    client.connected();
    let first: Vec<_> = std::iter::from_fn(|| client.poll_request()).collect();
    for request in first {
        // The queue is new and longer than the number of types.
        let _ = requests.try_send(request);
    }
    let mut request = tonic::Request::new(ReceiverStream::new(queue));
    if let Some(value) = bearer(&subscription.discovery.token_file).await {
        request.metadata_mut().insert("authorization", value);
    }
    if let Some(cluster) = subscription.cluster_id.as_deref().and_then(|id| id.parse().ok()) {
        request.metadata_mut().insert("clusterid", cluster);
    }
    let ended = |status: tonic::Status| ended(&address, &status);
    let mut responses = service.delta_aggregated_resources(request).await.map_err(ended)?.into_inner();
    tracing::info!(%address, "configuration stream is open");
    subscription.applier.progress().connected();
    loop {
        let due = subscription.applier.next_deadline();
        tokio::select! {
            response = responses.message() => match response.map_err(ended)? {
                Some(response) => take(subscription, client, response),
                None => return Err(StreamError::Closed(address)),
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                subscription.applier.tick(client, Instant::now());
            }
        }
        while let Some(request) = client.poll_request() {
            if requests.send(request).await.is_err() {
                // The reason is on the receiving side.
                break;
            }
        }
    }
}

fn take(subscription: &mut Subscription, client: &mut DeltaClient, response: DeltaDiscoveryResponse) {
    match client.receive(response) {
        Ok((update, receipt)) => {
            let rejected = subscription.applier.apply(update, client, Instant::now());
            client.settle(receipt, &rejected);
        }
        Err(error) => tracing::warn!("{error}"),
    }
}

async fn target(subscription: &Subscription) -> Result<Target, StreamError> {
    let discovery = &subscription.discovery;
    let identity = if discovery.plaintext {
        None
    } else {
        let roots = |source| StreamError::Roots { path: discovery.root_file.display().to_string(), source };
        let pem = tokio::fs::read(&discovery.root_file).await.map_err(roots)?;
        let identity = Identity::roots_only(TrustBundle::from_pem(&pem)?);
        let now = std::time::SystemTime::now();
        if let Some(cert) = subscription.secrets.workload().cert().filter(|cert| !cert.is_expired(now)) {
            identity.set_cert(cert);
        }
        Some(identity)
    };
    Ok(Target {
        address: discovery.address.clone(),
        identity,
        server_name: discovery.server_name.clone(),
        packet_mark: subscription.packet_mark,
    })
}

fn ended(address: &str, status: &tonic::Status) -> StreamError {
    let hint = match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            "; check the projected token (audience istio-ca) and the pod's service account"
        }
        _ => "",
    };
    StreamError::Ended {
        address: address.to_owned(),
        code: status.code(),
        message: status.message().to_owned(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_slows_down_to_a_limit() {
        let millis: Vec<_> = (0..9).map(|failures| backoff(failures, 0.0).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff(0, 1.0), Duration::from_millis(50));
    }
}
