//! The program as a shell runs it. No cluster is needed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trysailctl");

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(PROGRAM)
        .args(["install", "--dry-run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    // More is printed than a pipe holds, so that the program is still writing when its reader goes.
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "---\n");
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert!(child.wait().unwrap().success(), "{complaint}");
    assert_eq!(complaint, "");
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    let output = Command::new(PROGRAM).args(["version", "--kubeconfig", "/nowhere/config"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(complaint.starts_with("Error: ") && complaint.contains("/nowhere/config"), "{complaint}");
}

#[test]
fn flags_are_also_understood_as_istioctl_spells_them() {
    let empty = concat!(env!("CARGO_TARGET_TMPDIR"), "/empty.yaml");
    std::fs::write(empty, "").unwrap();
    for arguments in [
        &["version", "--short", "--remote=false"][..],
        &["version", "-s", "--client"],
        &["install", "--dry-run", "-y", "--readiness-timeout", "5m0s"],
        &["install", "--dry-run", "--force", "--set", "profil=demo"],
        &["kube-inject", "--meshConfigFile", empty, "--valuesFile", empty, "-f", empty],
    ] {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for arguments in [
        &["install", "--verify", "--dry-run"][..],
        &["uninstall", "--purge", "--revision", "canary"],
        &["uninstall", "--purge", "-f", "mesh.yaml"],
        &["uninstall", "--name", "default", "-r", "canary"],
    ] {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaint.contains("cannot be used with"), "{complaint}");
    }
}

#[test]
fn what_would_be_uninstalled_is_read_before_the_cluster_is_asked() {
    let output = Command::new(PROGRAM).args(["uninstall", "-f", "/nowhere/mesh.yaml"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaint.contains("/nowhere/mesh.yaml"), "{complaint}");
}
