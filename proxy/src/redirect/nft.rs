//! Hands rule text to `nft -f -`, which applies all of it or none. The only part of the init step that acts.

use std::io::Write;
use std::process::{Command, Stdio};

/// Why `nft` did not apply the rules.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// It could not be started.
    #[error("cannot run `nft`: {0}; the proxy image carries it, elsewhere install the nftables package")]
    Start(#[source] std::io::Error),
    /// It said no.
    #[error("`nft` refused the redirect rules: {output}{hint}")]
    Refused {
        /// What it printed.
        output: String,
        /// What to do about it.
        hint: &'static str,
    },
}

/// Applies the text in one transaction.
pub(super) fn apply(text: &str) -> Result<(), NftError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NftError::Start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A broken pipe means that it gave up early: its own message below says why.
        let _ = stdin.write_all(text.as_bytes());
    }
    let done = child.wait_with_output().map_err(NftError::Start)?;
    if done.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let hint = if output.contains("not permitted") {
        "; the init container needs the capability NET_ADMIN"
    } else if output.contains("No such file or directory") || output.contains("not supported") {
        "; the node's kernel needs the modules nf_tables, nft_redir and nf_nat"
    } else {
        ""
    };
    Err(NftError::Refused { output, hint })
}

/// Whether some interface has a global IPv6 address, as the kernel lists them.
pub(super) fn has_global_ipv6() -> bool {
    std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|table| lists_global_address(&table))
}

/// Columns of `/proc/net/if_inet6`: address, index, prefix length, scope (00 is global), flags, interface.
fn lists_global_address(table: &str) -> bool {
    table.lines().any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        matches!(columns.as_slice(), [_, _, _, "00", _, interface] if *interface != "lo")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_addresses_count_as_ipv6() {
        let link_local = "fe80000000000000bc0111fffe11a07c 02 40 20 80     eth0\n";
        let loopback = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let global = "fd000000000000000000000000000002 02 40 00 80     eth0\n";
        assert!(!lists_global_address(&format!("{loopback}{link_local}")));
        assert!(lists_global_address(&format!("{loopback}{link_local}{global}")));
        assert!(!lists_global_address("garbage"));
    }
}
