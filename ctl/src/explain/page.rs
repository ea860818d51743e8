//! A decision as a page of text.

use std::fmt::Write as _;

use explain::{Block, Decision, EndpointSeen, Forward, Outcome, RuleSeen, Target, Verdict};
use serde_json::Value;

/// Where the second column begins.
const COLUMN: usize = 17;

/// The page.
pub fn page(decision: &Decision) -> String {
    let mut out = String::new();
    line(&mut out, &decision.request);
    line(&mut out, &format!("from {}", decision.from));
    line(&mut out, &format!("=> {}", summary(decision)));
    line(&mut out, "");
    connection(decision, &mut out);
    virtual_services(decision, &mut out);
    rules(decision, &mut out);
    match &decision.outcome {
        Outcome::Forward(forward) => forwarded(forward, &mut out),
        Outcome::Bytes { targets } => {
            row(&mut out, "Sent on", "byte by byte");
            for target in targets {
                destination(target, &mut out);
            }
        }
        _ => {}
    }
    if !decision.notes.is_empty() {
        line(&mut out, "");
    }
    for note in &decision.notes {
        row(&mut out, "Note", note);
    }
    out
}

/// The answer in one sentence.
fn summary(decision: &Decision) -> String {
    let by = decision.matched().map_or_else(String::new, |rule| {
        format!(" (VirtualService {}, rule {})", rule.virtual_service, called(rule))
    });
    match &decision.outcome {
        Outcome::NotFound { why } => format!("404: {why}"),
        Outcome::Redirect { status, location, why } => match decision.matched() {
            Some(_) => format!("{status} to {location}{by}"),
            None => format!("{status} to {location} ({why})"),
        },
        Outcome::Answer { status, body } => format!("{status} by the proxy itself, {} bytes{by}", body.len()),
        Outcome::PassThrough { why } => format!("passed through to where the app sends it: {why}"),
        Outcome::Refused { why } => format!("502: {why}"),
        Outcome::Forward(forward) => format!("sent to {}{by}", shares(&forward.targets)),
        Outcome::Bytes { targets } => format!("sent to {}", shares(targets)),
    }
}

fn shares(targets: &[Target]) -> String {
    let one = |target: &Target| {
        let subset =
            if target.subset.is_empty() { String::new() } else { format!(" subset {}", target.subset) };
        let failing = if target.problem.is_some() { ", where it fails" } else { "" };
        let share = if targets.len() > 1 { format!("{}: ", percent(target.percent)) } else { String::new() };
        format!("{share}{}:{}{subset}{failing}", target.host, target.port)
    };
    targets.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn connection(decision: &Decision, out: &mut String) {
    if let Some(service) = &decision.service {
        let host = decision.request.split(' ').nth(1).unwrap_or_default();
        let asked = host.split(['/', ':']).next().unwrap_or_default();
        row(
            out,
            "Service",
            &format!("{} ({}); {asked} is {}", service.host, service.declared_by, service.named),
        );
    }
    let listener = &decision.listener;
    row(out, "Listener", &format!("{} ({})", listener.name, listener.protocol));
    if let Some(gateway) = &listener.gateway {
        row(out, "Gateway", gateway);
    }
    if let Some(host) = &decision.virtual_host {
        let routes = decision.routes.as_deref().unwrap_or_default();
        row(
            out,
            "Virtual host",
            &format!("{} in routes {routes}; {} is {}", host.name, host.domain, host.matched),
        );
    }
}

fn virtual_services(decision: &Decision, out: &mut String) {
    if decision.virtual_services.is_empty() && decision.virtual_host.is_some() {
        row(out, "VirtualService", "none for the host");
    }
    for one in &decision.virtual_services {
        let verdict = if one.applies { "applies" } else { "does not count" };
        row(out, "VirtualService", &format!("{} {verdict}: {}", one.name, one.why));
    }
}

fn called(rule: &RuleSeen) -> String {
    if rule.name.is_empty() { rule.number.to_string() } else { format!("{} ({})", rule.number, rule.name) }
}

fn rules(decision: &Decision, out: &mut String) {
    let several = decision.rules.iter().any(|rule| rule.virtual_service != decision.rules[0].virtual_service);
    for rule in &decision.rules {
        let of = if several { format!("{} ", rule.virtual_service) } else { String::new() };
        let delegate =
            rule.delegate.as_ref().map_or_else(String::new, |delegate| format!(", left to {delegate}"));
        let name = format!("{of}rule {}{delegate}", called(rule));
        match &rule.verdict {
            Verdict::Matched { because, .. } if because.is_empty() => {
                row(out, "", &format!("+ {name}: takes every request"));
            }
            Verdict::Matched { because, .. } => row(out, "", &format!("+ {name}: {}", because.join(", "))),
            Verdict::Failed { because } => row(out, "", &format!("- {name}: {}", because.join("; or "))),
        }
    }
    match decision.not_reached {
        0 => {}
        1 => row(out, "", "  1 more rule is not reached"),
        more => row(out, "", &format!("  {more} more rules are not reached")),
    }
}

fn forwarded(forward: &Forward, out: &mut String) {
    line(out, "");
    let path =
        if forward.path_rewritten { format!("as {} (rewritten)", forward.path) } else { String::new() };
    let mut said = vec![path];
    said.push(
        forward.timeout.as_ref().map_or_else(|| "no timeout".to_owned(), |time| format!("timeout {time}")),
    );
    said.push(forward.retries.as_ref().map_or_else(
        || "no retries".to_owned(),
        |retries| {
            let on = retries.on.as_ref().map_or_else(String::new, |on| format!(" on {on}"));
            let each =
                retries.per_try_timeout.as_ref().map_or_else(String::new, |time| format!(", {time} each"));
            let tries = if retries.attempts == 1 { "retry" } else { "retries" };
            format!("{} {tries}{on}{each} ({})", retries.attempts, retries.from)
        },
    ));
    said.retain(|part| !part.is_empty());
    row(out, "Sent on", &said.join(", "));
    for fault in &forward.faults {
        row(out, "Fault", fault);
    }
    for mirror in &forward.mirrors {
        row(out, "Mirror", &format!("{} to {}", percent(mirror.percent), mirror.cluster));
    }
    forward.targets.iter().for_each(|target| destination(target, out));
}

fn destination(target: &Target, out: &mut String) {
    line(out, "");
    let subset = if target.subset.is_empty() { String::new() } else { format!(", subset {}", target.subset) };
    row(out, &percent(target.percent), &format!("{}:{}{subset}", target.host, target.port));
    if let Some(problem) = &target.problem {
        row(out, "Problem", problem);
    }
    row(out, "Cluster", &target.cluster);
    match &target.destination_rule {
        Some(rule) => row(
            out,
            "DestinationRule",
            &format!("{} (host {}), found in {}", rule.objects.join(" + "), rule.host, rule.found_in),
        ),
        None => row(out, "DestinationRule", "none"),
    }
    let policy = &target.policy;
    let blocks = [
        ("load balancer", &policy.load_balancer),
        ("pool", &policy.connection_pool),
        ("outliers", &policy.outlier_detection),
        ("tls", &policy.tls),
    ];
    for (name, block) in blocks {
        if let Some(Block { from, value }) = block {
            row(out, "", &format!("{name} {} ({from})", inline(value)));
        }
    }
    if !target.tls.mode.is_empty() {
        row(out, "TLS", &format!("{} ({})", target.tls.mode, target.tls.why));
    }
    for (number, one) in target.endpoints.iter().enumerate() {
        row(out, if number == 0 { "Endpoints" } else { "" }, &endpoint(one));
    }
}

fn endpoint(one: &EndpointSeen) -> String {
    let mut said = vec![one.address.clone(), one.workload.clone(), one.locality.clone(), one.health.clone()];
    said.push(if one.mutual_tls { "mutual TLS" } else { "plaintext" }.to_owned());
    if let Some(accepts) = &one.accepts {
        let policy = accepts
            .policy
            .as_ref()
            .map_or_else(|| "by default".to_owned(), |policy| format!("by PeerAuthentication {policy}"));
        said.push(format!("accepts {} {policy}", accepts.mode));
    }
    said.retain(|part| !part.is_empty());
    said.join("  ")
}

fn percent(share: f64) -> String {
    let text = format!("{share:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// YAML's flow style, without quotes: for eyes, not for parsers.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}: {}", inline(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn row(out: &mut String, head: &str, text: &str) {
    // Writing to a string doesn't fail.
    let _ = writeln!(out, "{head:COLUMN$}{text}");
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}
