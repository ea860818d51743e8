//! The mark on our own packets, by which redirect rules tell them from the app's where a pod has one user id only.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

/// Marks what a socket sends, if packets are marked.
pub(crate) fn set(socket: &impl AsFd, mark: Option<u32>) -> io::Result<()> {
    match mark {
        Some(mark) => Ok(setsockopt(socket, sockopt::Mark, &mark)?),
        None => Ok(()),
    }
}
