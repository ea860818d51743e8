//! What one would look at after a failure, printed at once: the cluster may be
//! gone by the time somebody reads the log.

use std::{collections::BTreeSet, fs};

use crate::{
    cluster::root,
    mesh::{CONTROL_NAMESPACE, OPERATOR_NAMESPACE},
    test::Test,
};

const LINES: usize = 40;

/// Prints pods, events and logs of the scenario's namespaces and of the mesh, and
/// writes configuration dumps to files.
pub(crate) async fn print(test: &Test, scenario: &str) {
    println!("--- diagnostics of {scenario}");
    show(test, "kubectl get mi -o wide", LINES).await;
    for namespace in test.namespaces() {
        pods(test, &namespace).await;
        logs(test, &namespace).await;
    }
    pods(test, CONTROL_NAMESPACE).await;
    show(test, &format!("kubectl -n {CONTROL_NAMESPACE} logs -l app=istiod --tail=60 --prefix"), 60).await;
    show(
        test,
        &format!("kubectl -n {OPERATOR_NAMESPACE} logs -l app=trysail-operator --tail={LINES}"),
        LINES,
    )
    .await;
    dumps(test, scenario).await;
    println!("--- end of diagnostics of {scenario}");
}

async fn pods(test: &Test, namespace: &str) {
    show(test, &format!("kubectl -n {namespace} get pods -o wide"), LINES).await;
    let events = format!(
        "kubectl -n {namespace} get events --sort-by=.lastTimestamp -o custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message"
    );
    show(test, &format!("{events} | grep -vE ' (Pulled|Created|Started|Scheduled|SuccessfulCreate|ScalingReplicaSet) ' | tail -15"), 15).await;
}

async fn logs(test: &Test, namespace: &str) {
    let Ok(list) = test.get(&format!("pods -n {namespace}")).await else { return };
    for pod in list["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        show(test, &format!("kubectl -n {namespace} logs {name} -c istio-proxy --tail=25"), 25).await;
        let statuses = ["initContainerStatuses", "containerStatuses"];
        let statuses = statuses.iter().flat_map(|kind| pod["status"][kind].as_array().into_iter().flatten());
        let unready: BTreeSet<_> = statuses
            .filter(|status| status["ready"] != true)
            .filter_map(|status| status["name"].as_str())
            .collect();
        for container in unready {
            show(test, &format!("kubectl -n {namespace} logs {name} -c {container} --tail=20"), 20).await;
        }
    }
}

/// Each client pod can ask its own proxy for its configuration.
async fn dumps(test: &Test, scenario: &str) {
    let folder = root().join("target/e2e").join(scenario);
    for namespace in test.namespaces() {
        let line = format!(
            "kubectl -n {namespace} exec deploy/client -c client -- echo get http://127.0.0.1:15000/config_dump"
        );
        let Ok(said) = test.attempt(line).await else { continue };
        if said.success && fs::create_dir_all(&folder).is_ok() {
            let path = folder.join(format!("{namespace}-client-config.json"));
            if fs::write(&path, said.out).is_ok() {
                println!("configuration of {namespace}'s client: {}", path.display());
            }
        }
    }
}

async fn show(test: &Test, line: &str, lines: usize) {
    let Ok(said) = test.attempt(line).await else { return };
    let text = if said.success { said.out } else { said.err };
    if text.trim().is_empty() {
        return;
    }
    println!("$ {line}");
    let all: Vec<_> = text.lines().collect();
    for line in &all[all.len().saturating_sub(lines)..] {
        println!("  {line}");
    }
}
