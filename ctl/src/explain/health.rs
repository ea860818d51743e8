//! What the sender's own proxy thinks of the endpoints: those that it has ejected for now.

use explain::{Decision, Outcome, Target};
use serde_json::Value;

/// Marks endpoints that the proxy has ejected, by its answer to `/clusters?format=json`.
pub fn mark(decision: &mut Decision, clusters: &Value) {
    let targets: &mut [Target] = match &mut decision.outcome {
        Outcome::Forward(forward) => &mut forward.targets,
        Outcome::Bytes { targets } => targets,
        _ => return,
    };
    for target in targets {
        let statuses = clusters.get("cluster_statuses").and_then(Value::as_array).into_iter().flatten();
        let hosts = statuses
            .filter(|status| status["name"] == *target.cluster)
            .filter_map(|status| status.get("host_statuses").and_then(Value::as_array))
            .flatten();
        for host in hosts {
            let text = |pointer: &str| host.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let address = text("/address/socket_address/address");
            let port = host.pointer("/address/socket_address/port_value").and_then(Value::as_u64);
            let address = format!("{address}:{}", port.unwrap_or_default());
            let ejected = host.pointer("/health_status/failed_outlier_check") == Some(&Value::Bool(true));
            if let Some(known) = target.endpoints.iter_mut().find(|it| it.address == address && ejected) {
                "ejected by the sender's proxy".clone_into(&mut known.health);
            }
        }
    }
}
