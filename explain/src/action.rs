//! What a rule does with a request that it takes.

use crds::networking::{HeaderOperations, HttpRedirect, HttpRetry, RedirectPortSelection, StringMatch};

use crate::destination;
use crate::evaluator::View;
use crate::outcome::{Forward, Mirror, Outcome, RetriesSeen};
use crate::rules::{Case, Place, Rule};

/// Tries after the first, where neither rule nor mesh says anything.
const ATTEMPTS: u32 = 2;

/// The outcome of a case that holds.
pub(crate) fn outcome(view: &View<'_>, case: &Case<'_>, place: &Place) -> Outcome {
    let rule = &case.rule;
    if let Some(redirect) = &rule.own.redirect {
        return redirected(view, case, redirect, place);
    }
    if let Some(direct) = rule.field(|rule| rule.direct_response.as_ref()) {
        let body = direct.body.as_ref().map(|body| match (&body.string, &body.bytes) {
            (Some(text), _) => text.clone(),
            (None, Some(bytes)) => String::from_utf8_lossy(&bytes.0).into_owned(),
            (None, None) => String::new(),
        });
        return Outcome::Answer { status: direct.status, body: body.unwrap_or_default() };
    }
    forwarded(view, case, place)
}

fn forwarded(view: &View<'_>, case: &Case<'_>, place: &Place) -> Outcome {
    let rule = &case.rule;
    let path = rewritten_path(view, case);
    let authority = authority(rule);
    let path_rewritten = path != view.request.path;
    Outcome::Forward(Box::new(Forward {
        path_rewritten,
        path,
        timeout: rule
            .field(|rule| rule.timeout.as_ref())
            .filter(|it| !it.0.is_zero())
            .map(ToString::to_string),
        retries: retries(view, rule.field(|rule| rule.retries.as_ref())),
        faults: faults(rule),
        mirrors: mirrors(view, rule, place),
        targets: destination::targets(view, rule, authority.as_deref(), place),
    }))
}

/// The authority that the rule gives requests: by its rewrite, else by setting or adding `Host`.
fn authority(rule: &Rule<'_>) -> Option<String> {
    let rewrite = rule.field(|rule| rule.rewrite.as_ref());
    let written =
        rewrite.and_then(|rewrite| rewrite.authority.clone()).filter(|authority| !authority.is_empty());
    let headers = rule.field(|rule| rule.headers.as_ref()).and_then(|headers| headers.request.as_ref());
    written.or_else(|| headers.and_then(host_of))
}

/// The value that header operations give `Host`.
pub(crate) fn host_of(operations: &HeaderOperations) -> Option<String> {
    let is_host = |name: &str| name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority");
    let mut all = operations.set.iter().chain(&operations.add);
    all.find(|(name, _)| is_host(name)).map(|(_, value)| value.clone())
}

fn rewritten_path(view: &View<'_>, case: &Case<'_>) -> String {
    let Some(rewrite) = case.rule.field(|rule| rule.rewrite.as_ref()) else {
        return view.request.path.clone();
    };
    if let Some(by_regex) = &rewrite.uri_regex_rewrite {
        let pattern = by_regex.pattern.as_deref().unwrap_or_default();
        let Some(regex) = view.evaluator.regex(pattern, false) else { return view.request.path.clone() };
        let with = by_regex.rewrite.as_deref().unwrap_or_default();
        let new =
            regex.replace_all(view.request.bare_path(), |found: &regex::Captures<'_>| groups(with, found));
        return with_query(view, &new);
    }
    match rewrite.uri.as_deref().filter(|uri| !uri.is_empty()) {
        Some(uri) => with_query(view, &replaced(view, case, uri)),
        None => view.request.path.clone(),
    }
}

/// The path with what the condition matched replaced: all of it, or how it begins. A rule that asks for no path
/// matched the slash.
fn replaced(view: &View<'_>, case: &Case<'_>, new: &str) -> String {
    let path = view.request.bare_path();
    let rest = match case.condition.one(|condition| condition.uri.as_ref()) {
        Some(StringMatch { exact: Some(_), .. }) => "",
        Some(StringMatch { prefix: Some(prefix), .. }) => path.get(prefix.len()..).unwrap_or_default(),
        Some(StringMatch { regex: Some(regex), .. }) if regex != "*" => "",
        _ => path.get(1..).unwrap_or_default(),
    };
    format!("{new}{rest}")
}

fn with_query(view: &View<'_>, path: &str) -> String {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    match view.request.query().filter(|_| !path.contains('?')) {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// `\1` is the first group, `\\` a backslash.
fn groups(with: &str, found: &regex::Captures<'_>) -> String {
    let mut out = String::new();
    let mut letters = with.chars();
    while let Some(letter) = letters.next() {
        match (letter, if letter == '\\' { letters.next() } else { None }) {
            ('\\', Some(digit @ '0'..='9')) => {
                let group = digit as usize - '0' as usize;
                out.push_str(found.get(group).map_or("", |group| group.as_str()));
            }
            ('\\', Some(other)) => out.push(other),
            (other, _) => out.push(other),
        }
    }
    out
}

fn redirected(view: &View<'_>, case: &Case<'_>, redirect: &HttpRedirect, place: &Place) -> Outcome {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let scheme = given(&redirect.scheme);
    let port = match redirect.derive_port {
        Some(RedirectPortSelection::FromRequestPort) => u32::from(place.port),
        Some(_) => 0,
        None => redirect.port.unwrap_or_default(),
    };
    let of_place = if place.tls { "https" } else { "http" };
    let usual = |scheme: &str| if scheme == "https" { 443 } else { 80 };
    let new_scheme = scheme.clone().unwrap_or_else(|| view.request.scheme().to_owned());
    let port_scheme = scheme.as_deref().unwrap_or(of_place);
    let says_port = port != 0 && !(matches!(port_scheme, "http" | "https") && port == usual(port_scheme));
    let mut host = given(&redirect.authority).unwrap_or_else(|| view.authority.clone());
    if let Some((bare, written)) = view.authority.rsplit_once(':')
        && given(&redirect.authority).is_none()
        && written.bytes().all(|byte| byte.is_ascii_digit())
    {
        // The old scheme's own port would be wrong with the new one.
        let stale =
            new_scheme != view.request.scheme() && written == usual(view.request.scheme()).to_string();
        if says_port || stale {
            bare.clone_into(&mut host);
        }
    }
    if says_port {
        host = format!("{host}:{port}");
    }
    let path = match (given(&redirect.prefix_rewrite), given(&redirect.uri)) {
        (Some(prefix), _) => with_query(view, &replaced(view, case, &prefix)),
        (None, Some(uri)) => with_query(view, &uri),
        (None, None) => view.request.path.clone(),
    };
    let status = redirect.redirect_code.filter(|code| *code != 0).unwrap_or(301);
    Outcome::Redirect {
        status: u16::try_from(status).unwrap_or(301),
        location: format!("{new_scheme}://{host}{path}"),
        why: "the rule redirects".to_owned(),
    }
}

/// The rule's word, else the mesh's, else Istio's default.
pub(crate) fn retries(view: &View<'_>, rule: Option<&HttpRetry>) -> Option<RetriesSeen> {
    let mesh = view.mesh.settings.config.default_http_retry_policy.as_ref();
    let (written, from) = match (rule, mesh) {
        (Some(rule), _) => (rule, "the rule"),
        (None, Some(mesh)) => (mesh, "the mesh"),
        (None, None) => {
            return Some(RetriesSeen {
                attempts: ATTEMPTS,
                on: None,
                per_try_timeout: None,
                from: "default".to_owned(),
            });
        }
    };
    let attempts = written.attempts.and_then(|attempts| u32::try_from(attempts).ok()).filter(|it| *it > 0)?;
    Some(RetriesSeen {
        attempts,
        on: written.retry_on.clone().filter(|on| !on.is_empty()),
        per_try_timeout: written.per_try_timeout.map(|timeout| timeout.to_string()),
        from: from.to_owned(),
    })
}

fn faults(rule: &Rule<'_>) -> Vec<String> {
    let Some(fault) = rule.field(|rule| rule.fault.as_ref()) else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(delay) = &fault.delay
        && let Some(length) = delay.fixed_delay
    {
        let percent = delay.percentage.as_ref().map_or_else(
            || f64::from(delay.percent.unwrap_or_default()),
            |share| share.value.unwrap_or_default(),
        );
        all.push(format!("{percent} % wait {length} first"));
    }
    if let Some(abort) = &fault.abort {
        let percent = abort.percentage.as_ref().and_then(|share| share.value).unwrap_or_default();
        match (abort.http_status, &abort.grpc_status) {
            (Some(status), _) => all.push(format!("{percent} % are answered {status}")),
            (None, Some(status)) => all.push(format!("{percent} % are answered with gRPC status {status}")),
            (None, None) => {}
        }
    }
    all
}

fn mirrors(view: &View<'_>, rule: &Rule<'_>, place: &Place) -> Vec<Mirror> {
    let many = if rule.own.mirrors.is_empty() {
        rule.root.map_or(&[][..], |root| &root.mirrors)
    } else {
        &rule.own.mirrors[..]
    };
    let single = rule.field(|rule| rule.mirror.as_ref()).map(|mirror| {
        let percent = match rule.field(|rule| rule.mirror_percentage.as_ref()) {
            Some(share) => share.value.unwrap_or_default(),
            None => {
                rule.field(|rule| rule.mirror_percent.as_ref()).map_or(100.0, |percent| f64::from(*percent))
            }
        };
        (mirror, percent)
    });
    let many = many.iter().map(|mirror| {
        let percent = mirror.percentage.as_ref().map_or(100.0, |share| share.value.unwrap_or_default());
        (&mirror.destination, percent)
    });
    let all = single.into_iter().chain(many).filter(|(_, percent)| *percent > 0.0);
    all.map(|(to, percent)| Mirror { cluster: destination::cluster(view, to, place), percent }).collect()
}
