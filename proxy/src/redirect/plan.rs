//! What to redirect, as checked values. Flags go in (`Plan::from_flags`); `rules` writes text from the plan.
//! Nothing unchecked reaches the rule text, so a flag can never smuggle a rule of its own into it.

use ipnet::IpNet;
use std::net::IpAddr;

use super::RedirectFlags;
use crate::dns::ResolvConf;

/// Istio's own bound on the list of owner groups.
const MAX_GROUPS: usize = 64;

/// Everything, or the listed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection<T> {
    /// `*`
    All,
    /// These, possibly none.
    Only(Vec<T>),
}

/// How the proxy's own packets are told from the application's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// By the user or group that owns the socket.
    Ids {
        /// User ids.
        uids: Vec<u32>,
        /// Group ids.
        gids: Vec<u32>,
    },
    /// By the mark that the proxy sets on its sockets.
    Mark(u32),
}

/// A checked redirect configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where outbound connections go.
    pub outbound_port: u16,
    /// Where inbound connections go.
    pub inbound_port: u16,
    /// Never redirected.
    pub tunnel_port: u16,
    /// Which packets are the proxy's.
    pub owner: Owner,
    /// Inbound ports to capture.
    pub inbound_ports: Selection<u16>,
    /// Inbound ports to leave alone when all are captured.
    pub exclude_inbound_ports: Vec<u16>,
    /// Destinations to capture.
    pub include_cidrs: Selection<IpNet>,
    /// Destinations to leave alone.
    pub exclude_cidrs: Vec<IpNet>,
    /// Outbound ports to capture wherever they go.
    pub outbound_ports: Vec<u16>,
    /// Outbound ports to leave alone.
    pub exclude_outbound_ports: Vec<u16>,
    /// Interfaces to leave alone.
    pub exclude_interfaces: Vec<String>,
    /// Interfaces whose incoming traffic counts as outbound.
    pub kube_virt_interfaces: Vec<String>,
    /// Groups whose traffic is captured.
    pub owner_groups: Selection<String>,
    /// Groups whose traffic is left alone.
    pub exclude_owner_groups: Vec<String>,
    /// Addresses that mean this pod on the loopback interface.
    pub loopback: IpNet,
    /// Whether IPv6 is captured.
    pub ipv6: bool,
    /// Whether invalid packets are dropped.
    pub drop_invalid: bool,
    /// Nameservers whom the application asks through the proxy.
    pub nameservers: Selection<IpNet>,
}

/// What the flags don't say.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Whether it has a global IPv6 address.
    pub ipv6: bool,
    /// Its `resolv.conf`, or why that can't be used.
    pub resolv_conf: Result<ResolvConf, String>,
}

/// A flag whose value can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// The value doesn't parse.
    #[error("flag {flag}: {value:?} is not {expected}")]
    Value {
        /// Which flag.
        flag: &'static str,
        /// What it held.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// TPROXY and the like.
    #[error("flag -m: interception mode {0:?} is not supported; use REDIRECT")]
    Mode(String),
    /// Whom the application asks for names isn't known.
    #[error("flag --redirect-dns: {0}")]
    Nameservers(String),
    /// More groups than Istio accepts.
    #[error("flag {flag}: {count} groups are too many; at most {MAX_GROUPS} can be listed")]
    TooManyGroups {
        /// Which flag.
        flag: &'static str,
        /// How many it held.
        count: usize,
    },
    /// Both a list to include and a list to exclude.
    #[error("flags --owner-groups and --owner-groups-exclude: give one of them, not both")]
    GroupsTwice,
}

impl Plan {
    /// Checks the flags. `pod` says what they are about.
    pub fn from_flags(flags: &RedirectFlags, pod: &Pod) -> Result<Self, PlanError> {
        if flags.mode != "REDIRECT" {
            return Err(PlanError::Mode(flags.mode.clone()));
        }
        let (owner_groups, exclude_owner_groups) = groups(flags)?;
        Ok(Self {
            outbound_port: flags.outbound_port,
            inbound_port: flags.inbound_capture_port,
            tunnel_port: flags.inbound_tunnel_port,
            owner: owner(flags)?,
            inbound_ports: match flags.inbound_ports.as_str() {
                "*" => Selection::All,
                list => Selection::Only(ports("-b", list)?),
            },
            exclude_inbound_ports: ports("-d", &flags.exclude_inbound_ports)?,
            include_cidrs: match flags.include_cidrs.as_str() {
                "*" => Selection::All,
                list => Selection::Only(cidrs("-i", list)?),
            },
            exclude_cidrs: cidrs("-x", &flags.exclude_cidrs)?,
            outbound_ports: ports("-q", &flags.outbound_ports)?,
            exclude_outbound_ports: ports("-o", &flags.exclude_outbound_ports)?,
            exclude_interfaces: interfaces("-c", &flags.exclude_interfaces)?,
            kube_virt_interfaces: interfaces("-k", &flags.kube_virt_interfaces)?,
            owner_groups,
            exclude_owner_groups,
            loopback: loopback(&flags.loopback_cidr)?,
            ipv6: pod.ipv6 || flags.dual_stack,
            drop_invalid: flags.drop_invalid,
            nameservers: nameservers(flags, pod)?,
        })
    }

    /// Whether the user asked for loopback destinations to be captured: then the application's own
    /// connections over `lo` are not let through unseen.
    pub fn captures_loopback(&self) -> bool {
        match &self.include_cidrs {
            Selection::All => false,
            Selection::Only(cidrs) => cidrs.iter().any(|cidr| cidr.addr().is_loopback()),
        }
    }
}

fn nameservers(flags: &RedirectFlags, pod: &Pod) -> Result<Selection<IpNet>, PlanError> {
    match &pod.resolv_conf {
        _ if !flags.redirect_dns => Ok(Selection::Only(Vec::new())),
        _ if flags.capture_all_dns => Ok(Selection::All),
        Ok(conf) => Ok(Selection::Only(conf.nameservers.iter().copied().map(IpNet::from).collect())),
        Err(problem) => Err(PlanError::Nameservers(problem.clone())),
    }
}

fn owner(flags: &RedirectFlags) -> Result<Owner, PlanError> {
    if let Some(mark) = flags.proxy_mark {
        return Ok(Owner::Mark(mark));
    }
    let uids = parsed("-u", &flags.proxy_uid, "a user id")?;
    let gids =
        if flags.proxy_gid.is_empty() { uids.clone() } else { parsed("-g", &flags.proxy_gid, "a group id")? };
    if uids.is_empty() {
        return Err(invalid("-u", "", "a user id; without one the proxy would capture its own traffic"));
    }
    Ok(Owner::Ids { uids, gids })
}

fn groups(flags: &RedirectFlags) -> Result<(Selection<String>, Vec<String>), PlanError> {
    let excluded = group_list("--owner-groups-exclude", &flags.owner_groups_exclude)?;
    match flags.owner_groups.as_str() {
        "*" => Ok((Selection::All, excluded)),
        _ if !excluded.is_empty() => Err(PlanError::GroupsTwice),
        list => Ok((Selection::Only(group_list("--owner-groups", list)?), excluded)),
    }
}

fn group_list(flag: &'static str, list: &str) -> Result<Vec<String>, PlanError> {
    let found = words(flag, list, 32, "a group name or id")?;
    if found.len() > MAX_GROUPS {
        return Err(PlanError::TooManyGroups { flag, count: found.len() });
    }
    Ok(found)
}

fn interfaces(flag: &'static str, list: &str) -> Result<Vec<String>, PlanError> {
    // IFNAMSIZ leaves 15 characters for a name
    words(flag, list, 15, "the name of a network interface")
}

fn words(
    flag: &'static str,
    list: &str,
    longest: usize,
    expected: &'static str,
) -> Result<Vec<String>, PlanError> {
    let usable = |word: &str| {
        word.len() <= longest
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+'))
    };
    split(list)
        .map(|word| if usable(word) { Ok(word.to_owned()) } else { Err(invalid(flag, word, expected)) })
        .collect()
}

fn ports(flag: &'static str, list: &str) -> Result<Vec<u16>, PlanError> {
    let ports: Vec<u16> = parsed(flag, list, "a port between 1 and 65535")?;
    if ports.contains(&0) {
        return Err(invalid(flag, "0", "a port between 1 and 65535"));
    }
    Ok(ports)
}

fn cidrs(flag: &'static str, list: &str) -> Result<Vec<IpNet>, PlanError> {
    split(list).map(|text| cidr(flag, text)).collect()
}

fn cidr(flag: &'static str, text: &str) -> Result<IpNet, PlanError> {
    let plain = || text.parse::<IpAddr>().map(IpNet::from);
    let net: Result<IpNet, _> = text.parse();
    net.or_else(|_| plain())
        .map(|net| net.trunc())
        .map_err(|_| invalid(flag, text, "a CIDR such as 10.0.0.0/8 or fd00::/8"))
}

fn loopback(text: &str) -> Result<IpNet, PlanError> {
    const FLAG: &str = "--loopback-cidr";
    let net = cidr(FLAG, text)?;
    if matches!(net, IpNet::V4(v4) if v4.addr().is_loopback()) {
        return Ok(net);
    }
    Err(invalid(FLAG, text, "an IPv4 range inside 127.0.0.0/8"))
}

fn parsed<T: std::str::FromStr>(
    flag: &'static str,
    list: &str,
    expected: &'static str,
) -> Result<Vec<T>, PlanError> {
    split(list).map(|text| text.parse().map_err(|_| invalid(flag, text, expected))).collect()
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn invalid(flag: &'static str, value: &str, expected: &'static str) -> PlanError {
    PlanError::Value { flag, value: value.to_owned(), expected }
}
