//! What the kernel says of a process: CPU it has used, memory that is its own.

use std::time::Duration;

use anyhow::{Context, Result};

/// CPU that all threads of process `id` have used, in the kernel's nanoseconds.
///
/// # Errors
/// When the process is gone.
pub fn cpu(id: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir(format!("/proc/{id}/task"))? {
        // A thread may end while we look.
        if let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) {
            nanoseconds +=
                text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Memory that nobody else shares and that was written to, in bytes.
///
/// # Errors
/// When the process is gone.
pub fn private_dirty(id: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Private_Dirty:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kilobytes.context("smaps_rollup has no Private_Dirty")? * 1024)
}
