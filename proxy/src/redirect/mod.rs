//! The init step: sends a pod's TCP traffic through its sidecar, and its questions for names if it is told to.
//!
//! Flags (Istio's own names, because injection templates pass them) go in; nftables rule text comes out
//! and is applied by `nft -f -` in one transaction. Called by `main.rs` for `trysail-proxy redirect` and
//! its alias `istio-iptables`.
//!
//! `flags` -> `plan` (validated values) -> `rules` (text, pure) -> `nft` (the only part that acts).

mod flags;
mod nft;
mod plan;
mod rules;

pub use flags::RedirectFlags;
pub use nft::NftError;
pub use plan::{Owner, Plan, PlanError, Pod, Selection};
pub use rules::{TABLE, removal, ruleset};

use crate::dns::ResolvConf;

/// Why the rules could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// A flag has a value that makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// `nft` refused, or isn't there.
    #[error(transparent)]
    Nft(#[from] NftError),
}

/// Carries out what the flags ask for: prints, removes or applies the rules.
pub fn run(flags: &RedirectFlags) -> Result<(), RedirectError> {
    let text = if flags.clean {
        removal()
    } else {
        let resolv_conf = ResolvConf::read(ResolvConf::PATH).map_err(|error| error.to_string());
        ruleset(&Plan::from_flags(flags, &Pod { ipv6: nft::has_global_ipv6(), resolv_conf })?)
    };
    if flags.dry_run {
        print!("{text}");
        return Ok(());
    }
    nft::apply(&text)?;
    tracing::info!("{}", if flags.clean { "redirect rules removed" } else { "redirect rules in place" });
    Ok(())
}
