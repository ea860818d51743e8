//! Command line of the init step. Names, short letters and environment variables are those of
//! `istio-iptables`, so that an injection template written for Istio works unchanged.

use clap::{ArgAction, Args};

/// Flags of `trysail-proxy redirect` (alias `istio-iptables`).
#[derive(Debug, Clone, Args)]
pub struct RedirectFlags {
    /// Port of the proxy that outbound TCP is sent to
    #[arg(short = 'p', long = "envoy-port", env = "ENVOY_PORT", default_value = "15001")]
    pub outbound_port: u16,
    /// Port of the proxy that inbound TCP is sent to
    #[arg(short = 'z', long, env = "INBOUND_CAPTURE_PORT", default_value = "15006")]
    pub inbound_capture_port: u16,
    /// Port that carries tunnelled (HBONE) traffic and is never redirected
    #[arg(short = 'e', long, env = "INBOUND_TUNNEL_PORT", default_value = "15008")]
    pub inbound_tunnel_port: u16,
    /// User ids of the proxy, comma separated: their traffic is not captured
    #[arg(short = 'u', long, env = "PROXY_UID", default_value = "1337")]
    pub proxy_uid: String,
    /// Group ids of the proxy, comma separated; the user ids when empty
    #[arg(short = 'g', long, env = "PROXY_GID", default_value = "")]
    pub proxy_gid: String,
    /// Tell the proxy's traffic by this packet mark instead of by user id (for namespaces with one user id);
    /// the proxy sets it when TRYSAIL_PACKET_MARK has the same number
    #[arg(long, env = "TRYSAIL_PACKET_MARK", value_parser = parse_mark)]
    pub proxy_mark: Option<u32>,
    /// How inbound traffic is captured; REDIRECT is the only mode
    #[arg(
        short = 'm',
        long = "istio-inbound-interception-mode",
        env = "ISTIO_INBOUND_INTERCEPTION_MODE",
        default_value = "REDIRECT"
    )]
    pub mode: String,
    /// Inbound ports to capture, comma separated, `*` for all
    #[arg(short = 'b', long = "istio-inbound-ports", env = "ISTIO_INBOUND_PORTS", default_value = "")]
    pub inbound_ports: String,
    /// Inbound ports to leave alone, comma separated; only with `-b *`
    #[arg(
        short = 'd',
        long = "istio-local-exclude-ports",
        env = "ISTIO_LOCAL_EXCLUDE_PORTS",
        default_value = ""
    )]
    pub exclude_inbound_ports: String,
    /// Network interfaces to leave alone, comma separated
    #[arg(
        short = 'c',
        long = "istio-exclude-interfaces",
        env = "ISTIO_EXCLUDE_INTERFACES",
        default_value = ""
    )]
    pub exclude_interfaces: String,
    /// Destination CIDRs to capture, comma separated, `*` for all
    #[arg(short = 'i', long = "istio-service-cidr", env = "ISTIO_SERVICE_CIDR", default_value = "")]
    pub include_cidrs: String,
    /// Destination CIDRs to leave alone, comma separated
    #[arg(
        short = 'x',
        long = "istio-service-exclude-cidr",
        env = "ISTIO_SERVICE_EXCLUDE_CIDR",
        default_value = ""
    )]
    pub exclude_cidrs: String,
    /// Outbound ports to capture whatever the CIDRs say, comma separated
    #[arg(short = 'q', long = "istio-outbound-ports", env = "ISTIO_OUTBOUND_PORTS", default_value = "")]
    pub outbound_ports: String,
    /// Outbound ports to leave alone, comma separated
    #[arg(
        short = 'o',
        long = "istio-local-outbound-ports-exclude",
        env = "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE",
        default_value = ""
    )]
    pub exclude_outbound_ports: String,
    /// Interfaces of virtual machines whose traffic counts as outbound, comma separated
    #[arg(short = 'k', long = "kube-virt-interfaces", env = "KUBE_VIRT_INTERFACES", default_value = "")]
    pub kube_virt_interfaces: String,
    /// Groups whose outbound traffic is captured, comma separated, `*` for all
    #[arg(long, env = "ISTIO_OUTBOUND_OWNER_GROUPS", default_value = "*")]
    pub owner_groups: String,
    /// Groups whose outbound traffic is left alone, comma separated; only with `--owner-groups *`
    #[arg(long, env = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", default_value = "")]
    pub owner_groups_exclude: String,
    /// IPv4 range that means "this pod" on the loopback interface
    #[arg(long, env = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", default_value = "127.0.0.1/32")]
    pub loopback_cidr: String,
    /// Drop packets that connection tracking calls invalid, instead of letting them reset a connection
    #[arg(long, env = "INVALID_DROP", num_args = 0..=1, default_missing_value = "true", default_value = "false",
          require_equals = true, action = ArgAction::Set)]
    pub drop_invalid: bool,
    /// Capture IPv6 too, even when the pod has no global IPv6 address yet
    #[arg(long, env = "ISTIO_DUAL_STACK", num_args = 0..=1, default_missing_value = "true", default_value = "false",
          require_equals = true, action = ArgAction::Set)]
    pub dual_stack: bool,
    /// Send questions for names to the proxy: those to the nameservers in /etc/resolv.conf
    #[arg(long, env = "ISTIO_META_DNS_CAPTURE", num_args = 0..=1, default_missing_value = "true", default_value = "false",
          require_equals = true, action = ArgAction::Set, value_parser = parse_bool)]
    pub redirect_dns: bool,
    /// With --redirect-dns: questions to any nameserver
    #[arg(long, env = "CAPTURE_ALL_DNS", num_args = 0..=1, default_missing_value = "true", default_value = "false",
          require_equals = true, action = ArgAction::Set, value_parser = parse_bool)]
    pub capture_all_dns: bool,
    /// Print the rules instead of applying them
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Remove the rules
    #[arg(long, alias = "cleanup-only")]
    pub clean: bool,
    /// Accepted because Istio's templates pass it: the rules are always replaced as a whole
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    pub reconcile: Option<Option<bool>>,
    /// Accepted because Istio's templates pass it: nftables is always used
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    pub native_nftables: Option<Option<bool>>,
}

/// What is neither true nor false is false, as in Istio; the proxy, which reads the same variable, warns of it.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn parse_bool(text: &str) -> Result<bool, String> {
    Ok(xds::names::parse_bool(text) == Some(true))
}

/// A packet mark in decimal or, as `nft` and `ip rule` print it, in hexadecimal.
fn parse_mark(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(0) => Err("0 is the mark of unmarked packets; choose another number".to_owned()),
        Ok(mark) => Ok(mark),
        Err(_) => Err(format!("{text:?} is not a packet mark; write a number such as 1337 or 0x539")),
    }
}
