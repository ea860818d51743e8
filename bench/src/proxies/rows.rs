//! The rows: an idle sidecar's memory, one hop, two hops with mTLS; the last two beside an earlier build too, if there is one.

use anyhow::{Context, Result};
use testkit::{BASELINE, LocalMesh};

use crate::load::{Round, process, proxies, round};
use crate::pods;
use crate::process::private_dirty;
use crate::results::{Measurement, median};

const ROUNDS: usize = 5;
const SECONDS: u32 = 3;
/// A round whose direct row moved by more than this from the median says nothing.
const STEADY: f64 = 0.15;
/// A row with fewer rounds than this says nothing.
const FEWEST: usize = 3;

/// One way from client to server, by our proxies and by a peer's.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    /// The beginning of the names of its further rows.
    short: &'static str,
    peer: &'static str,
    ours: Way,
    peers: Way,
    /// Of our CPU to the peer's.
    budget: f64,
}

/// A client pod, what it asks for, and the pods whose proxies are on the way.
#[derive(Clone, Copy)]
struct Way {
    client: &'static str,
    url: &'static str,
    proxies: &'static [&'static str],
}

const ROWS: [Row; 2] = [
    Row {
        name: "one hop, HTTP/1.1: CPU of a million requests",
        short: "one hop, HTTP/1.1",
        peer: "envoy",
        ours: Way { client: "client-trysail", url: "http://plain:8000/1k", proxies: &["client-trysail"] },
        peers: Way { client: "client-envoy", url: "http://plain:8000/1k", proxies: &["client-envoy"] },
        budget: 0.6,
    },
    Row {
        name: "two hops, mTLS between: CPU of a million requests",
        short: "two hops, mTLS between",
        peer: "envoy",
        ours: Way {
            client: "client-trysail",
            url: "http://server-trysail:8000/1k",
            proxies: &["client-trysail", "server-trysail"],
        },
        peers: Way {
            client: "client-envoy",
            url: "http://server-envoy:8000/1k",
            proxies: &["client-envoy", "server-envoy"],
        },
        budget: 0.6,
    },
];

/// The same beside an earlier build of ours, where [`BASELINE`] names one: the request path must not have become dearer.
const SINCE_BASELINE: [Row; 2] = [
    Row {
        name: "one hop, HTTP/1.1, since the baseline: CPU of a million requests",
        short: "one hop, HTTP/1.1, since the baseline",
        peer: "baseline",
        peers: Way { client: "client-baseline", url: "http://plain:8000/1k", proxies: &["client-baseline"] },
        budget: 1.05,
        ..ROWS[0]
    },
    Row {
        name: "two hops, mTLS between, since the baseline: CPU of a million requests",
        short: "two hops, mTLS between, since the baseline",
        peer: "baseline",
        peers: Way {
            client: "client-baseline",
            url: "http://server-baseline:8000/1k",
            proxies: &["client-baseline", "server-baseline"],
        },
        budget: 1.05,
        ..ROWS[1]
    },
];

/// Measures every row.
///
/// # Errors
/// When a pod doesn't start or a request fails.
pub async fn run(mesh: &mut LocalMesh) -> Result<Vec<Measurement>> {
    let nginx = tempfile::Builder::new().prefix("trysail-nginx-").tempdir()?;
    let baseline = std::env::var_os(BASELINE).is_some();
    mesh.apply(&pods(nginx.path(), baseline)?).await.context("starting the pods")?;
    let relay = format!(
        "[{}, relay, '0.0.0.0:8000', '{}:8000']",
        mesh.program("trysail-bench").display(),
        mesh.pod("default", "plain")?.address()
    );
    mesh.apply(&pods::pod("relay", "none", &relay)).await.context("starting the relay")?;
    let mut results = vec![idle(mesh)?];
    for row in ROWS.iter().chain(SINCE_BASELINE.iter().filter(|_| baseline)) {
        results.extend(measure(mesh, row)?);
    }
    Ok(results)
}

fn idle(mesh: &LocalMesh) -> Result<Measurement> {
    let memory = |pod: &str| -> Result<f64> {
        let id = mesh.pod("default", pod)?.process("istio-proxy").context("no proxy")?.id();
        Ok(private_dirty(id)? as f64 / 1e6)
    };
    let (ours, envoys) = (memory("client-trysail")?, memory("client-envoy")?);
    let mut row = Measurement::alone("idle sidecar: Private_Dirty", "trysail", "MB", &[ours])?.against(
        "envoy",
        &[ours],
        &[envoys],
    );
    row.ratio = None;
    Ok(row.within(8.0))
}

fn measure(mesh: &LocalMesh, row: &Row) -> Result<Vec<Measurement>> {
    let through = |way: &Way| proxies(mesh, way.proxies);
    let (own, peer) = (through(&row.ours)?, through(&row.peers)?);
    let mut rounds = Vec::new();
    for index in 0..=ROUNDS {
        let own = || round(mesh, row.ours.client, &own, row.ours.url, SECONDS);
        let peer = || round(mesh, row.peers.client, &peer, row.peers.url, SECONDS);
        let (own, peer) = if index % 2 == 0 {
            let own = own()?;
            (own, peer()?)
        } else {
            let peer = peer()?;
            (own()?, peer)
        };
        // Without a sidecar nothing answers at a service's address here.
        let url = |pod: &str| {
            Ok::<_, anyhow::Error>(format!("http://{}:8000/1k", mesh.pod("default", pod)?.address()))
        };
        let direct = round(mesh, "client-direct", &[], &url("plain")?, SECONDS)?;
        let relay = round(mesh, "client-direct", &[process(mesh, "relay", "app")?], &url("relay")?, SECONDS)?;
        // The first round only warms up.
        if index > 0 {
            rounds.push([own, peer, direct, relay]);
        }
    }
    summary(row, &rounds)
}

/// The rows of one way. A round in which the machine itself was slower or faster than usual says nothing.
fn summary(row: &Row, rounds: &[[Round; 4]]) -> Result<Vec<Measurement>> {
    let usual =
        median(&rounds.iter().map(|[_, _, direct, _]| direct.rate).collect::<Vec<_>>()).unwrap_or(0.0);
    let steady = |[_, _, direct, _]: &&[Round; 4]| (direct.rate / usual - 1.0).abs() <= STEADY;
    let kept: Vec<_> = rounds.iter().filter(steady).collect();
    let void = (kept.len() < FEWEST)
        .then(|| format!("the machine was steady in {} of {} rounds only", kept.len(), rounds.len()));
    let used: Vec<_> = if void.is_some() { rounds.iter().collect() } else { kept };
    let cpu = |which: usize| used.iter().map(|round| round[which].cpu).collect::<Vec<_>>();
    let rate = |which: usize| used.iter().map(|round| round[which].rate).collect::<Vec<_>>();
    let (own, peer, direct, relay) = (0, 1, 2, 3);
    let same = |what: &str| format!("{}: {what}", row.short);
    let mut ours = Measurement::alone(row.name, "trysail", "s", &cpu(own))?
        .against(row.peer, &cpu(own), &cpu(peer))
        .within(row.budget);
    ours.void = void;
    Ok(vec![
        ours,
        Measurement::alone(row.name, row.peer, "s", &cpu(peer))?,
        Measurement::alone(row.name, "a relay", "s", &cpu(relay))?,
        Measurement::alone(&same("rate"), "trysail", "requests/s", &rate(own))?.against(
            row.peer,
            &rate(own),
            &rate(peer),
        ),
        Measurement::alone(&same("rate without a proxy"), "wrk and nginx", "requests/s", &rate(direct))?,
    ])
}

/// Clients with wrk, servers with nginx; `plain` and `client-direct` without a sidecar.
fn pods(folder: &std::path::Path, baseline: bool) -> Result<String> {
    let nginx = pods::nginx(folder)?;
    let mut yaml = String::from(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: '{accessLogFile: \"\"}'}}\n",
    );
    yaml += &pods::service("plain");
    yaml += &pods::pod("plain", "none", &nginx);
    yaml += &pods::pod("client-direct", "none", pods::CLIENT);
    for plane in ["trysail", "envoy", "baseline"].into_iter().filter(|plane| baseline || *plane != "baseline")
    {
        let (server, client) = (format!("server-{plane}"), format!("client-{plane}"));
        yaml += &pods::service(&server);
        yaml += &pods::pod(&server, plane, &nginx);
        yaml += &pods::pod(&client, plane, pods::CLIENT);
    }
    Ok(yaml)
}
