//! Values of annotations, checked before anything is built from them.

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Pod;

use super::{InjectError, names, volumes};

type Check = fn(&str) -> Result<(), String>;

const CHECKS: [(&str, Check); 24] = [
    (names::INTERCEPTION_MODE, interception_mode),
    (names::STATUS_PORT, port),
    (names::READINESS_INITIAL_DELAY, number),
    (names::READINESS_PERIOD, number),
    (names::READINESS_FAILURES, number),
    (names::INCLUDE_OUTBOUND_RANGES, ranges_or_all),
    (names::EXCLUDE_OUTBOUND_RANGES, ranges),
    (names::INCLUDE_INBOUND_PORTS, ports_or_all),
    (names::EXCLUDE_INBOUND_PORTS, ports),
    (names::INCLUDE_OUTBOUND_PORTS, ports_or_all),
    (names::EXCLUDE_OUTBOUND_PORTS, ports),
    (names::EXCLUDE_INTERFACES, interfaces),
    (names::KUBEVIRT_INTERFACES, interfaces),
    (names::REROUTE_INTERFACES, interfaces),
    (names::MERGE_METRICS, boolean),
    (names::REWRITE_PROBES, boolean),
    (names::NATIVE_SIDECAR, boolean),
    (names::PROXY_CPU, quantity),
    (names::PROXY_CPU_LIMIT, quantity),
    (names::PROXY_MEMORY, quantity),
    (names::PROXY_MEMORY_LIMIT, quantity),
    (names::LOG_LEVEL, word),
    (names::COMPONENT_LOG_LEVEL, word),
    (names::AGENT_LOG_LEVEL, word),
];

/// Checks every annotation that injection reads.
pub(super) fn check(pod: &Pod) -> Result<(), InjectError> {
    for (annotation, check) in CHECKS {
        if let Some(value) = names::annotation(pod, annotation) {
            check(value).map_err(|problem| refuse(pod, annotation, value, problem))?;
        }
    }
    for annotation in [names::USER_VOLUME, names::USER_VOLUME_MOUNT] {
        if let Some(value) = names::annotation(pod, annotation) {
            volumes::check(annotation, value).map_err(|problem| refuse(pod, annotation, value, problem))?;
        }
    }
    Ok(())
}

/// An error about an annotation.
pub(super) fn refuse(pod: &Pod, annotation: &str, value: &str, problem: impl ToString) -> InjectError {
    InjectError::Annotation {
        pod: names::describe(pod),
        annotation: annotation.to_owned(),
        value: value.to_owned(),
        problem: problem.to_string(),
    }
}

fn interception_mode(value: &str) -> Result<(), String> {
    match value {
        "REDIRECT" | "NONE" => Ok(()),
        "TPROXY" => Err("is not supported; use REDIRECT, which needs no further capabilities".to_owned()),
        _ => Err("is no interception mode; use REDIRECT or NONE".to_owned()),
    }
}

fn port(value: &str) -> Result<(), String> {
    match value.trim().parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("has {:?}, which is no port; write a number from 0 to 65535", value.trim())),
    }
}

fn ports(value: &str) -> Result<(), String> {
    if value.trim().is_empty() {
        return Ok(());
    }
    value.split(',').try_for_each(port)
}

fn ports_or_all(value: &str) -> Result<(), String> {
    if value == "*" { Ok(()) } else { ports(value) }
}

fn ranges(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    value.split(',').try_for_each(|range| match range.trim().parse::<IpNet>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("has {range:?}, which is no range of addresses; write one such as 10.0.0.0/8")),
    })
}

fn ranges_or_all(value: &str) -> Result<(), String> {
    if value == "*" { Ok(()) } else { ranges(value) }
}

/// The kernel's limit is 15 bytes; what else is refused could end a rule.
fn interfaces(value: &str) -> Result<(), String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).try_for_each(|name| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
        if name.len() <= 15 && name.chars().all(allowed) {
            return Ok(());
        }
        Err(format!("has {name:?}, which is no name of a network interface; write one such as eth1"))
    })
}

fn number(value: &str) -> Result<(), String> {
    match value.parse::<i32>() {
        Ok(0..) => Ok(()),
        _ => Err("is no number of seconds or times; write one such as 5".to_owned()),
    }
}

fn boolean(value: &str) -> Result<(), String> {
    match parse_bool(value) {
        Some(_) => Ok(()),
        None => Err("is neither true nor false".to_owned()),
    }
}

/// Go's `strconv.ParseBool`, which Istio reads these with.
pub(super) fn parse_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn word(value: &str) -> Result<(), String> {
    if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(
            "has blanks or control characters; write levels such as info or http:debug,misc:error".to_owned()
        );
    }
    Ok(())
}

const SUFFIXES: [&str; 14] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti"];

fn quantity(value: &str) -> Result<(), String> {
    let digits = value.strip_prefix('+').unwrap_or(value);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let exponent =
        |suffix: &str| suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i8>().is_ok());
    let known = SUFFIXES.contains(&suffix) || matches!(suffix, "Pi" | "Ei") || exponent(suffix);
    if number.parse::<f64>().is_ok() && known {
        return Ok(());
    }
    Err("is no quantity; write one such as 100m or 128Mi".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_accepted_and_refused_as_istio_does() {
        let cases: [(Check, &[&str], &[&str]); 9] = [
            (
                quantity,
                &["100m", "1", "0.5", ".5", "128Mi", "1e3", "2E", "+1G"],
                &["", "x", "1 Gi", "1\nk", "-1", "1Kib"],
            ),
            (ports, &["", "80", "80, 8080", "0"], &["http", "80,,", "70000", "-1"]),
            (ports_or_all, &["*", "9080"], &["*,80"]),
            (ranges, &["", "10.0.0.0/8", "10.96.0.0/16,fd00::/8"], &["10.0.0.0", "*", "10.0.0.0/33"]),
            (ranges_or_all, &["*"], &["all"]),
            (interfaces, &["eth1", "eth1,net-2", ""], &["eth1;rm", "a-very-long-interface"]),
            (number, &["0", "15"], &["-1", "soon", "99999999999"]),
            (boolean, &["true", "False", "1"], &["yes", ""]),
            (interception_mode, &["REDIRECT", "NONE"], &["TPROXY", "redirect"]),
        ];
        for (check, good, bad) in cases {
            for value in good {
                assert_eq!(check(value), Ok(()), "{value:?}");
            }
            for value in bad {
                assert!(check(value).is_err(), "{value:?}");
            }
        }
    }
}
