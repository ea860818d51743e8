//! Re-executes the running program inside namespaces of its own.
//!
//! In: the program's own arguments. Out: the same program as process 1 of new mount, network and process namespaces
//! (and a user namespace where we aren't root), so that ending it ends every pod, mount, link and rule with it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const INSIDE: &str = "TRYSAIL_TESTKIT_INSIDE";

/// How the proxy's own traffic can be told from the application's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Many user ids are mapped: the proxy runs as 1337, as in a cluster.
    Users,
    /// Only one user id is mapped (an unprivileged user namespace): the proxy marks its packets.
    Mark,
}

/// What this process may do, read from its user-id map.
pub fn privilege() -> Privilege {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mapped = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            Some((fields.next()?.ok()?, fields.nth(1)?.ok()?))
        })
        .any(|(first, count)| first <= 1337 && 1337 < first + count);
    if mapped { Privilege::Users } else { Privilege::Mark }
}

/// Runs `inside` in namespaces of its own and returns its exit code.
///
/// The first call does what must be done `outside`, where there is a network, and re-executes the program under `unshare`;
/// the second, inside, calls `inside`.
///
/// # Errors
/// Says what is missing when `unshare` (util-linux) or the kernel refuses.
pub fn enter(outside: impl FnOnce() -> Result<()>, inside: impl FnOnce() -> Result<()>) -> ExitCode {
    let result = if std::env::var_os(INSIDE).is_some() {
        prepare().and_then(|()| inside())
    } else {
        match outside().and_then(|()| reexecute()) {
            Ok(code) => return code,
            Err(error) => Err(error),
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn reexecute() -> Result<ExitCode> {
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let program = std::env::current_exe().context("finding this program")?;
    let status = unshare
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "yes")
        .status()
        .context("running unshare (from util-linux)")?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => bail!("the namespaced run was ended by a signal: {status}"),
    }
}

/// Makes the fresh network namespace usable: loopback up, IPv4 forwarded between pods.
fn prepare() -> Result<()> {
    crate::process::check(Command::new("ip").args(["link", "set", "lo", "up"]))
        .context("the network namespace cannot be configured; is iproute2 installed?")?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("enabling IPv4 forwarding")
}
