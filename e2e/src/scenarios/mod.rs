//! The scenarios, in the order in which they run: the first installs the mesh
//! that the others share, the last removes it.

mod advice;
mod any_order;
mod bad_input;
mod bookinfo;
mod churn;
mod egress;
mod gateway_tls;
mod hostile_bytes;
mod injection;
mod install;
mod locality;
mod names;
mod outliers;
mod probes;
mod protocols;
mod replicas;
mod restarts;
mod rotation;
mod status;
mod stock_envoy;
mod traffic;
mod uninstall;
mod wire;

use std::pin::Pin;

use anyhow::Result;

use crate::test::Test;

type Run = for<'t> fn(&'t Test) -> Pin<Box<dyn Future<Output = Result<()>> + 't>>;

/// Something that must be shown on a real cluster.
pub struct Scenario {
    /// What `--only` picks it by.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub about: &'static str,
    pub(crate) needs_mesh: bool,
    pub(crate) run: Run,
}

macro_rules! scenario {
    ($module:ident, $about:literal) => {
        Scenario {
            name: stringify!($module),
            about: $about,
            needs_mesh: true,
            run: |test| Box::pin($module::run(test)),
        }
    };
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario {
        needs_mesh: false,
        ..scenario!(install, "the chart and one MeshInstall make a mesh that becomes Ready")
    },
    scenario!(injection, "a label and a rollout give pods a sidecar; whoever opted out has none"),
    scenario!(bookinfo, "Bookinfo through the gateway: 404, 90/10 by weight, one user to v2"),
    scenario!(wire, "between pods there is TLS 1.3 with both identities; STRICT refuses plaintext"),
    scenario!(protocols, "gRPC, HTTP/2, WebSocket, server-first TCP and 1 GiB bodies pass unharmed"),
    scenario!(restarts, "apps and the control plane restart under load without a failed request"),
    scenario!(rotation, "certificates rotate under load without a failed request"),
    scenario!(probes, "http, tcp, grpc and exec probes work under STRICT; a Job completes"),
    scenario!(any_order, "rules and workloads may come in any order under load"),
    scenario!(status, "objects say when every proxy has them, what they name in vain, whom they lost to"),
    scenario!(
        replicas,
        "two replicas of the control plane: status counts the proxies of both, and either may go"
    ),
    scenario!(
        advice,
        "warnings at kubectl apply, trysailctl explain on the cluster, an Ingress with an address"
    ),
    scenario!(names, "sidecars answer for the mesh's names, and pass on what only the cluster's DNS knows"),
    scenario!(traffic, "canary by header, mirror, faults, retries and timeouts between sidecars"),
    scenario!(outliers, "a failing pod is ejected and returns; circuit breakers are exact to the request"),
    scenario!(locality, "the own zone is preferred; another takes over when it fails, and gives back"),
    scenario!(gateway_tls, "HTTPS from Secrets, RSA and ECDSA, rotated under load without a failed request"),
    scenario!(egress, "an outside host is reached through the egress gateway, unknown ones are refused"),
    scenario!(churn, "100 changes a minute under load: no failed request, no memory that grows"),
    scenario!(stock_envoy, "a stock Envoy takes our configuration whole and talks mTLS to our sidecars"),
    scenario!(bad_input, "wrong objects are refused by name, field and remedy"),
    scenario!(hostile_bytes, "garbage, slow and oversized bytes at every port harm nobody"),
    scenario!(uninstall, "deleting the MeshInstall leaves nothing but CRDs and the user's objects"),
];
