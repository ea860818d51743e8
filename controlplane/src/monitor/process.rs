//! `process_*` metrics, as every Prometheus client has them, read from `/proc/self` when scraped.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Linux counts a process's time in hundredths of a second, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self`.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let cpu = ConstCounter::new(cpu_seconds().unwrap_or_default());
        let help = "User and system CPU time spent";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)?;
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory", status_bytes("VmRSS:")),
            ("process_virtual_memory_bytes", "Virtual memory", status_bytes("VmSize:")),
            ("process_open_fds", "Open file descriptors", open_files()),
            ("process_max_fds", "File descriptors that may be open", most_files()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value.unwrap_or_default());
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let start = ConstGauge::new(start_seconds().unwrap_or_default());
        let (name, help) = ("process_start_time_seconds", "Unix time at which the process started");
        start.encode(encoder.encode_descriptor(name, help, None, start.metric_type())?)?;
        Ok(())
    }
}

/// Fields of `/proc/self/stat`, by the numbers of proc(5); the command's name in parentheses may contain anything.
fn times<const N: usize>(fields: [usize; N]) -> Option<[f64; N]> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let all: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let mut seconds = [0.0; N];
    for (second, field) in seconds.iter_mut().zip(fields) {
        *second = all.get(field.checked_sub(3)?)?.parse::<f64>().ok()? / TICKS_PER_SECOND;
    }
    Some(seconds)
}

/// `utime` and `stime`.
fn cpu_seconds() -> Option<f64> {
    let [user, system] = times([14, 15])?;
    Some(user + system)
}

/// `starttime` counts from the start of the machine.
fn start_seconds() -> Option<f64> {
    let [start] = times([22])?;
    let machine = std::fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + start)
}

fn status_bytes(key: &str) -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn open_files() -> Option<i64> {
    i64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

/// The soft limit.
fn most_files() -> Option<i64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_a_moment_ago() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let start = start_seconds().unwrap();
        // The kernel rounds the start of the machine to a second.
        assert!((now - 600.0..now + 2.0).contains(&start), "{start} at {now}");
    }

    #[test]
    fn fewer_files_are_open_than_may_be() {
        let (open, most) = (open_files().unwrap(), most_files().unwrap());
        assert!(0 < open && open < most, "{open} of {most}");
        assert!(cpu_seconds().is_some());
    }
}
