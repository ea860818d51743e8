//! Status as people, `kubectl wait`, Argo CD and Flux see it.

use crds::mesh::MeshInstallStatus;
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    jiff::Timestamp,
};
use operator::status::{self, Observation, Progress};
use serde_json::{Value, json};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn observe(progress: Progress, generation: i64) -> Observation {
    Observation {
        generation: Some(generation),
        version: Some("1.0".into()),
        components: Vec::new(),
        progress,
    }
}

fn flags(status: &MeshInstallStatus) -> [&str; 3] {
    ["Ready", "Reconciling", "Stalled"].map(|name| {
        status.conditions.iter().find(|condition| condition.type_ == name).unwrap().status.as_str()
    })
}

/// kstatus' rules, which Flux and `kubectl wait` tools apply.
fn kstatus(status: &MeshInstallStatus, generation: i64) -> &'static str {
    let [ready, reconciling, stalled] = flags(status);
    match (status.observed_generation == Some(generation), stalled, reconciling, ready) {
        (false, ..) | (true, "False", "True", _) => "InProgress",
        (true, "True", ..) => "Failed",
        (true, _, _, "True") => "Current",
        _ => "unclear",
    }
}

#[test]
fn conditions_tell_where_the_whole_is() {
    let cases = [
        (Progress::Seen, ["Unknown", "True", "False"], "InProgress"),
        (Progress::Waiting("x".into()), ["False", "True", "False"], "InProgress"),
        (Progress::Failing("x".into()), ["False", "True", "False"], "InProgress"),
        (Progress::Stalled("InvalidSpec", "x".into()), ["False", "False", "True"], "Failed"),
        (Progress::Ready("x".into()), ["True", "False", "False"], "Current"),
        (Progress::Uninstalling("x".into()), ["False", "True", "False"], "InProgress"),
    ];
    for (progress, expected, by_kstatus) in cases {
        let status = status::of(None, &observe(progress.clone(), 3), at(0));
        assert_eq!(flags(&status), expected, "{progress:?}");
        assert_eq!(kstatus(&status, 3), by_kstatus, "{progress:?}");
        assert_eq!(kstatus(&status, 4), "InProgress", "{progress:?} of an older spec");
    }
}

#[test]
fn a_condition_keeps_its_time_until_it_changes() {
    let time = |status: &MeshInstallStatus, name: &str| {
        status.conditions.iter().find(|condition| condition.type_ == name).unwrap().last_transition_time.0
    };
    let waiting = status::of(None, &observe(Progress::Waiting("a".into()), 1), at(0));
    let still = status::of(Some(&waiting), &observe(Progress::Waiting("b".into()), 1), at(10));
    assert_eq!(time(&still, "Ready"), at(0));
    let ready = status::of(Some(&still), &observe(Progress::Ready("c".into()), 1), at(20));
    assert_eq!((time(&ready, "Ready"), time(&ready, "Stalled")), (at(20), at(0)));
    assert_eq!(status::of(Some(&ready), &observe(Progress::Ready("c".into()), 1), at(30)), ready);
}

#[test]
fn a_turn_is_told_once() {
    let ready = status::of(None, &observe(Progress::Ready("up".into()), 1), at(0));
    let failing = status::of(None, &observe(Progress::Failing("no".into()), 1), at(0));
    let told = |previous: Option<&MeshInstallStatus>, progress: Progress| {
        status::turn(previous, &progress).is_some()
    };
    assert!(told(None, Progress::Ready("up".into())));
    assert!(!told(Some(&ready), Progress::Ready("up, too".into())));
    assert!(!told(Some(&ready), Progress::Waiting("a pod".into())));
    assert!(told(Some(&ready), Progress::Failing("no".into())));
    assert!(!told(Some(&failing), Progress::Failing("no".into())));
    assert!(told(Some(&failing), Progress::Failing("still no".into())));
    assert!(told(Some(&failing), Progress::Stalled("InvalidSpec", "what".into())));
}

#[test]
fn a_deployment_is_judged_as_kubectl_rollout_status_judges_it() {
    let deployment = |status: Value| -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "istiod", "namespace": "istio-system", "generation": 2},
            "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": status,
        }))
        .unwrap()
    };
    let cases = [
        (json!({}), Some("not seen yet")),
        (json!({"observedGeneration": 2}), Some("0 of 2 pods are of the new version")),
        (
            json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}),
            Some("1 of 2 pods available (because)"),
        ),
        (
            json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3, "availableReplicas": 3}),
            Some("1 old pods have not ended yet"),
        ),
        (
            json!({"observedGeneration": 2, "conditions": [
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            ]}),
            Some("did not become ready in time"),
        ),
        (json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}), None),
    ];
    for (found, expected) in cases {
        let state = status::of_deployment(&deployment(found), Some("because"));
        assert_eq!(state.ready, expected.is_none());
        let message = state.message.unwrap_or_default();
        assert!(message.contains(expected.unwrap_or_default()), "{message}");
    }
}

#[test]
fn the_reason_why_a_pod_does_not_run_is_found() {
    let cases = [
        (
            json!({"containerStatuses": [{"name": "discovery", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}),
            Some("container discovery: ImagePullBackOff: no such image"),
        ),
        (
            json!({"containerStatuses": [{"name": "discovery", "state": {"waiting": {"reason": "ContainerCreating"}}}]}),
            None,
        ),
        (
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
            Some("Unschedulable: 0/1 nodes"),
        ),
        (json!({}), None),
    ];
    for (status, expected) in cases {
        let pod: Pod = serde_json::from_value(json!({"status": status})).unwrap();
        assert_eq!(status::reason_of(&pod).as_deref(), expected);
    }
}
