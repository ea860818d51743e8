//! Scenario 8: the kubelet, which is not in the mesh, under STRICT; and Jobs.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{namespace::Injection, test::Test};

const PROBES: [(&str, &str); 4] = [
    ("http", "httpGet: {path: /ready, port: 8080, httpHeaders: [{name: x-probe, value: kubelet}]}"),
    ("tcp", "tcpSocket: {port: 9000}"),
    ("grpc", "grpc: {port: 7070}"),
    ("exec", "exec: {command: [echo, get, 'http://127.0.0.1:8080/']}"),
];

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-probes", Injection::Enabled).await?;
    mesh.apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n").await?;

    t.step("http, tcp, grpc and exec probes, as readiness, liveness and startup");
    for (name, probe) in PROBES {
        mesh.apply(&probed(name, probe)).await?;
    }
    for (name, _) in PROBES {
        mesh.kubectl(format!("wait --for=condition=Ready pod/{name} --timeout=90s")).await?;
    }

    t.step("a probe that fails is seen to fail");
    let failing = "httpGet: {path: '/?status=503', port: 8080}";
    mesh.apply(&format!("{}\n    readinessProbe: {{periodSeconds: 1, {failing}}}\n", bare("failing")))
        .await?;
    let dead = "tcpSocket: {port: 1}";
    mesh.apply(&format!("{}\n    readinessProbe: {{periodSeconds: 1, {dead}}}\n", bare("dead"))).await?;

    t.step("a Job with a sidecar completes");
    mesh.apply(JOB).await?;
    mesh.kubectl("wait --for=condition=Complete job/errand --timeout=90s").await?;
    let pods = mesh.pods("job-name=errand").await?;
    ensure!(pods.iter().all(|pod| pod.containers().contains(&"istio-proxy")), "the Job's pod has no sidecar");
    ensure!(pods.iter().all(|pod| pod.0["status"]["phase"] == "Succeeded"), "the Job's pod did not end");

    for name in ["failing", "dead"] {
        let ready = mesh
            .kubectl(format!(
                "get pod {name} -o jsonpath='{{.status.conditions[?(@.type==\"Ready\")].status}}'"
            ))
            .await?;
        ensure!(ready == "False", "pod {name} is Ready={ready} although its probe must fail");
    }

    t.step("no container was restarted by its probes");
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (name, _) in PROBES {
        let restarts = mesh
            .kubectl(format!("get pod {name} -o jsonpath='{{.status.containerStatuses[*].restartCount}}'"))
            .await?;
        ensure!(
            restarts.split_whitespace().all(|count| count == "0"),
            "{name} was restarted {restarts} times"
        );
    }
    Ok(())
}

fn bare(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: echo\n    image: trysail/echo:0.1.0\n    resources: {{requests: {{cpu: 5m}}}}"
    )
}

fn probed(name: &str, probe: &str) -> String {
    format!(
        "{}\n    readinessProbe: {{periodSeconds: 1, {probe}}}\n    livenessProbe: {{periodSeconds: 1, failureThreshold: 2, {probe}}}\n    startupProbe: {{periodSeconds: 1, failureThreshold: 30, {probe}}}\n",
        bare(name)
    )
}

const JOB: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: errand}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: echo
        image: trysail/echo:0.1.0
        args: [get, 'http://127.0.0.1:15020/healthz/ready']
        resources: {requests: {cpu: 5m}}
";
