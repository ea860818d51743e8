//! The whole path without Kubernetes: control plane, injection, redirection, proxies, apps.
//!
//! `cargo test -p trysail-testkit --test mesh [NAME]`. The programs must have been built before.

mod bookinfo;
mod changes;

use std::process::ExitCode;

use testkit::{Scenario, enter, run};

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "bookinfo_answers_through_its_sidecars", run: |mesh| Box::pin(bookinfo::answers(mesh)) },
    Scenario { name: "strict_refuses_a_pod_without_a_sidecar", run: |mesh| Box::pin(bookinfo::strict(mesh)) },
    Scenario {
        name: "a_rule_change_reaches_the_next_request_within_50_ms",
        run: |mesh| Box::pin(changes::rule(mesh)),
    },
    Scenario { name: "the_mesh_outlives_its_control_plane", run: |mesh| Box::pin(changes::restart(mesh)) },
];

fn main() -> ExitCode {
    enter(|| run(SCENARIOS))
}
