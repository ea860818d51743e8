//! One bridge; an address for each pod; the addresses of services.
//!
//! Service addresses need no kube-proxy: a sidecar resolves them from a connection's original destination, so the
//! only thing they need is a route out of the pod.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::check;

/// The bridge's own address: where pods reach the control plane, and their default route.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// Where nobody is, which nobody tells: packets to it vanish, as behind a firewall. To any other address without a pod the
/// kernel gives up after three seconds.
const SILENT: Ipv4Addr = Ipv4Addr::new(10, 244, 255, 254);

/// Makes the bridge.
pub(crate) fn create_bridge() -> Result<()> {
    check(Command::new("ip").args(["link", "add", "pods", "type", "bridge"]))?;
    check(Command::new("ip").args(["addr", "add", &format!("{HOST}/16"), "dev", "pods"]))?;
    check(Command::new("ip").args(["link", "set", "pods", "up"]))?;
    Ok(())
}

/// Gives the network namespace of process `pid` an interface on the bridge.
pub(crate) fn connect(pid: u32, address: Ipv4Addr) -> Result<()> {
    let host_side = format!("v{pid}");
    let pid = pid.to_string();
    check(
        Command::new("ip")
            .args(["link", "add", &host_side, "type", "veth", "peer", "name", "eth0", "netns", &pid]),
    )?;
    check(Command::new("ip").args(["link", "set", &host_side, "master", "pods", "up"]))?;
    let inside = |arguments: &[&str]| {
        check(Command::new("nsenter").args(["--target", &pid, "--net", "ip"]).args(arguments))
    };
    inside(&["link", "set", "lo", "up"])?;
    inside(&["addr", "add", &format!("{address}/16"), "dev", "eth0"])?;
    inside(&["link", "set", "eth0", "up"])?;
    inside(&["route", "add", "default", "via", &HOST.to_string()])?;
    let nobody = ["lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent"];
    inside(&[&["neigh", "add", &SILENT.to_string()], &nobody[..]].concat())?;
    Ok(())
}

/// Hands out addresses in order.
#[derive(Debug)]
pub(crate) struct Addresses {
    prefix: [u8; 2],
    next: u16,
}

impl Addresses {
    /// Pod addresses, 10.244.1.0 and up.
    pub(crate) fn pods() -> Self {
        Self { prefix: [10, 244], next: 256 }
    }

    /// Service addresses, 10.96.0.10 and up.
    pub(crate) fn services() -> Self {
        Self { prefix: [10, 96], next: 10 }
    }

    pub(crate) fn next(&mut self) -> Result<Ipv4Addr> {
        if self.next == u16::MAX {
            bail!("no more addresses in {}.{}.0.0/16", self.prefix[0], self.prefix[1]);
        }
        self.next += 1;
        let [third, fourth] = self.next.to_be_bytes();
        Ok(Ipv4Addr::new(self.prefix[0], self.prefix[1], third, fourth))
    }
}
