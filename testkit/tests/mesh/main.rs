//! The whole path without Kubernetes: control plane, injection, redirection, proxies, apps.
//!
//! `cargo test -p trysail-testkit --test mesh [NAME]`. The programs must have been built before.

mod bookinfo;
mod changes;
mod moments;
mod names;

use std::process::ExitCode;

use testkit::{Scenario, enter, envoy_binary, run};

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "bookinfo_answers_through_its_sidecars", run: |mesh| Box::pin(bookinfo::answers(mesh)) },
    Scenario { name: "strict_refuses_a_pod_without_a_sidecar", run: |mesh| Box::pin(bookinfo::strict(mesh)) },
    Scenario {
        name: "a_rule_change_reaches_the_next_request_within_50_ms",
        run: |mesh| Box::pin(changes::rule(mesh)),
    },
    Scenario { name: "the_mesh_outlives_its_control_plane", run: |mesh| Box::pin(changes::restart(mesh)) },
    Scenario {
        name: "hosts_on_one_port_are_told_apart_by_their_names",
        run: |mesh| Box::pin(names::told_apart(mesh)),
    },
    Scenario {
        name: "probes_find_out_a_server_that_is_gone_on_both_data_planes",
        run: |mesh| Box::pin(moments::keepalive(mesh)),
    },
    Scenario {
        name: "a_new_endpoint_warms_up_on_both_data_planes",
        run: |mesh| Box::pin(moments::warm_up(mesh)),
    },
    Scenario {
        name: "a_second_ejection_lasts_longer_on_both_data_planes",
        run: |mesh| Box::pin(moments::ejections(mesh)),
    },
];

fn main() -> ExitCode {
    enter(|| envoy_binary().map(drop), || run(SCENARIOS))
}
