use super::*;
use crate::dns::ResolvConf;
use crate::redirect::{PlanError, Pod, RedirectFlags};
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    flags: RedirectFlags,
}

fn plan(args: &str) -> Result<Plan, PlanError> {
    let words = std::iter::once("redirect".to_owned()).chain(
        args.split_whitespace().map(|word| if word == "''" { String::new() } else { word.to_owned() }),
    );
    let nameservers = ["10.96.0.10", "10.96.0.11"].map(|address| address.parse().unwrap()).to_vec();
    let resolv_conf = Ok(ResolvConf { nameservers, search: Vec::new() });
    Plan::from_flags(&Cli::try_parse_from(words).unwrap().flags, &Pod { ipv6: false, resolv_conf })
}

fn rules(args: &str) -> String {
    ruleset(&plan(args).unwrap())
}

const INJECTED: &str = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x '' -b * -d 15090,15021,15020";

#[test]
fn the_injected_flags_give_the_whole_table() {
    let expected = r#"table inet trysail
delete table inet trysail
table inet trysail {
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		meta nfproto ipv6 return
		meta l4proto tcp jump inbound
	}
	chain inbound {
		tcp dport 15008 return
		tcp dport { 15020, 15021, 15090 } return
		meta l4proto tcp redirect to :15006
	}
	chain output {
		type nat hook output priority -100; policy accept;
		meta nfproto ipv6 return
		meta l4proto tcp jump outbound
	}
	chain outbound {
		oifname "lo" ip saddr 127.0.0.6 return
		oifname "lo" ip6 saddr ::6 return
		meta skuid { 1337 } oifname "lo" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta l4proto tcp redirect to :15006
		meta skuid { 1337 } oifname "lo" ip6 daddr != ::1 tcp dport != 15008 meta l4proto tcp redirect to :15006
		meta skgid { 1337 } oifname "lo" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta l4proto tcp redirect to :15006
		meta skgid { 1337 } oifname "lo" ip6 daddr != ::1 tcp dport != 15008 meta l4proto tcp redirect to :15006
		meta skuid != { 1337 } meta skgid != { 1337 } oifname "lo" return
		meta skuid { 1337 } return
		meta skgid { 1337 } return
		ip daddr 127.0.0.1/32 return
		ip6 daddr ::1 return
		meta l4proto tcp redirect to :15001
	}
}
"#;
    assert_eq!(rules(INJECTED), expected);
}

#[test]
fn questions_for_names_go_to_the_proxy_if_they_are_asked_for() {
    assert!(!rules(INJECTED).contains("53"));
    let chains = r"	chain dns {
		meta skuid { 1337 } return
		meta skgid { 1337 } return
		ip daddr { 10.96.0.10/31 } meta l4proto { tcp, udp } redirect to :15053
	}
	chain dns_sent {
		type filter hook output priority -300; policy accept;
		meta skuid { 1337 } udp dport 53 ct zone set 1
		meta skgid { 1337 } udp dport 53 ct zone set 1
	}
	chain dns_received {
		type filter hook prerouting priority -300; policy accept;
		ip saddr { 10.96.0.10/31 } udp sport 53 ct zone set 1
	}
";
    let text = rules(&format!("{INJECTED} --redirect-dns"));
    assert!(text.contains(chains), "{text}");
    let jumps = "\t\tmeta l4proto { tcp, udp } th dport 53 jump dns\n\t\tmeta l4proto tcp jump outbound\n";
    assert!(text.contains(jumps), "{text}");
    let all = rules(&format!("{INJECTED} --redirect-dns --capture-all-dns"));
    assert!(all.contains("\t\tmeta l4proto { tcp, udp } redirect to :15053\n"), "{all}");
    assert!(all.contains("\t\tudp sport 53 ct zone set 1\n"), "{all}");
    assert_eq!(rules(&format!("{INJECTED} --capture-all-dns")), rules(INJECTED));
}

#[test]
fn without_a_resolv_conf_questions_cannot_be_told_apart() {
    let flags = |args: &[&str]| Cli::try_parse_from([&["redirect"], args].concat()).unwrap().flags;
    let pod = Pod { ipv6: false, resolv_conf: Err("/etc/resolv.conf: no such file".to_owned()) };
    let error = Plan::from_flags(&flags(&["--redirect-dns"]), &pod).unwrap_err().to_string();
    assert_eq!(error, "flag --redirect-dns: /etc/resolv.conf: no such file");
    for fine in [&[][..], &["--redirect-dns", "--capture-all-dns"], &["--redirect-dns=false"]] {
        assert!(Plan::from_flags(&flags(fine), &pod).is_ok(), "{fine:?}");
    }
}

#[test]
fn each_flag_writes_its_rule() {
    let cases = [
        (
            "-i 10.0.0.0/8,10.1.0.0/16,192.168.1.7",
            "ip daddr { 10.0.0.0/8, 192.168.1.7/32 } meta l4proto tcp redirect to :15001",
        ),
        ("-i 10.0.0.0/8,fd00::/8 --dual-stack", "ip6 daddr { fd00::/8 } meta l4proto tcp redirect to :15001"),
        ("-i * -x 169.254.0.0/16", "ip daddr { 169.254.0.0/16 } return"),
        ("-i * -o 3306,5432", "tcp dport { 3306, 5432 } return"),
        ("-q 8080", "tcp dport { 8080 } meta l4proto tcp redirect to :15001"),
        ("-b 80,443", "tcp dport { 80, 443 } meta l4proto tcp redirect to :15006"),
        ("-b * -d 22", "tcp dport { 22 } return"),
        ("-c eth1,net2", "oifname { \"eth1\", \"net2\" } return"),
        ("-c eth1", "iifname { \"eth1\" } return"),
        ("-k vnet0 -i *", "iifname { \"vnet0\" } meta l4proto tcp redirect to :15001"),
        (
            "-k vnet0 -i 10.0.0.0/8",
            "iifname { \"vnet0\" } ip daddr { 10.0.0.0/8 } meta l4proto tcp redirect to :15001",
        ),
        ("-u 1337,1338", "meta skuid { 1337, 1338 } return"),
        ("-u 1337 -g 42", "meta skgid { 42 } return"),
        ("--proxy-mark 0x539", "meta mark 1337 return"),
        ("--proxy-mark 1337", "meta mark != 1337 oifname \"lo\" return"),
        ("--owner-groups java,202", "meta skgid != { \"202\", \"java\" } return"),
        ("--owner-groups-exclude backup", "meta skgid { \"backup\" } return"),
        ("--drop-invalid", "ct state invalid drop"),
        ("-p 16001 -i *", "meta l4proto tcp redirect to :16001"),
    ];
    for (flags, rule) in cases {
        let text = rules(flags);
        assert!(text.lines().any(|line| line.trim() == rule), "{flags} lacks {rule:?}:\n{text}");
    }
}

#[test]
fn nothing_is_captured_unless_it_is_asked_for() {
    let text = rules("-p 15001");
    assert!(!text.contains("redirect to :15001"), "{text}");
}

#[test]
fn asking_for_loopback_captures_the_applications_own_calls() {
    assert!(!rules("-i 127.0.0.0/8").contains("meta skuid != { 1337 }"));
}

#[test]
fn ipv6_is_left_alone_only_where_the_pod_has_none() {
    assert!(rules("-i *").contains("meta nfproto ipv6 return"));
    assert!(!rules("-i * --dual-stack").contains("nfproto ipv6"));
}

#[test]
fn values_that_make_no_sense_are_refused_by_flag() {
    let cases = [
        ("-m TPROXY", "flag -m: interception mode \"TPROXY\" is not supported; use REDIRECT"),
        ("-b 80,http", "flag -b: \"http\" is not a port between 1 and 65535"),
        ("-o 0", "flag -o: \"0\" is not a port between 1 and 65535"),
        ("-i 10.0.0.0/33", "flag -i: \"10.0.0.0/33\" is not a CIDR such as 10.0.0.0/8 or fd00::/8"),
        ("-x *", "flag -x: \"*\" is not a CIDR such as 10.0.0.0/8 or fd00::/8"),
        ("-u root", "flag -u: \"root\" is not a user id"),
        ("-c eth0;drop", "flag -c: \"eth0;drop\" is not the name of a network interface"),
        (
            "--loopback-cidr 10.0.0.0/8",
            "flag --loopback-cidr: \"10.0.0.0/8\" is not an IPv4 range inside 127.0.0.0/8",
        ),
        (
            "--owner-groups a --owner-groups-exclude b",
            "flags --owner-groups and --owner-groups-exclude: give one of them, not both",
        ),
    ];
    for (flags, message) in cases {
        assert_eq!(plan(flags).unwrap_err().to_string(), message, "{flags}");
    }
}
