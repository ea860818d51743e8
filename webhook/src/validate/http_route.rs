//! HTTP rules of a VirtualService.

use std::collections::BTreeMap;

use crds::networking::{
    Destination, HttpDirectResponse, HttpMatchRequest, HttpRedirect, HttpRewrite, HttpRoute, PortSelector,
    StringMatch,
};

use super::{
    findings::{At, Findings},
    headers, http_policy, matching, names,
};

pub(super) fn check(at: &At, route: &HttpRoute, in_delegate: bool, found: &mut Findings) {
    conflicts(at, route, in_delegate, found);
    for (index, condition) in route.matches.iter().enumerate() {
        request(&at.item("match", index), condition, found);
    }
    headers::check(at, route.headers.as_ref(), found);
    http_policy::check(at, route, found);
    mirrors(at, route, found);
    if let Some(answer) = &route.redirect {
        found.check(&at.field("redirect"), redirect(answer, &route.matches));
    }
    if let Some(answer) = &route.direct_response {
        direct_response(&at.field("directResponse"), answer, found);
    }
    if let Some(change) = &route.rewrite {
        rewrite(&at.field("rewrite"), change, found);
    }
    authorities(at, route, found);
    for (index, target) in route.route.iter().enumerate() {
        let at = at.item("route", index);
        destination(&at.field("destination"), &target.destination, found);
        headers::check(&at, target.headers.as_ref(), found);
    }
    weights(at, route.route.iter().map(|target| target.weight), found);
}

/// Which blocks exclude each other.
fn conflicts(at: &At, route: &HttpRoute, in_delegate: bool, found: &mut Findings) {
    if route.delegate.is_some() && !in_delegate {
        let forbidden = route.redirect.is_some() || !route.route.is_empty();
        found.error_if(forbidden, at, "a rule with delegate can't have route or redirect");
        return;
    }
    found.error_if(
        route.delegate.is_some(),
        &at.field("delegate"),
        "a delegate can't delegate further; a VirtualService without hosts is one",
    );
    let answer = match (&route.redirect, &route.direct_response) {
        (Some(_), Some(_)) => {
            found.error(at, "redirect and directResponse exclude each other");
            return;
        }
        (Some(_), None) => Some("redirect"),
        (None, Some(_)) => Some("directResponse"),
        (None, None) => None,
    };
    let blocks = [
        ("route", !route.route.is_empty()),
        ("fault", route.fault.is_some()),
        ("rewrite", route.rewrite.is_some()),
    ];
    match answer {
        Some(answer) => {
            for (block, _) in blocks.iter().filter(|(_, present)| *present) {
                found.error(at, format!("{answer} and {block} exclude each other"));
            }
        }
        None => found.error_if(
            route.route.is_empty(),
            at,
            "where do the requests go? Add route with a destination, redirect, directResponse or delegate",
        ),
    }
}

fn request(at: &At, condition: &HttpMatchRequest, found: &mut Findings) {
    if let Some(uri) = &condition.uri {
        matching::expression(&at.field("uri"), uri, found);
    }
    matching::string(&at.field("scheme"), condition.scheme.as_ref(), found);
    matching::string(&at.field("method"), condition.method.as_ref(), found);
    matching::string(&at.field("authority"), condition.authority.as_ref(), found);
    named(at, "headers", &condition.headers, found);
    named(at, "withoutHeaders", &condition.without_headers, found);
    for (name, parameter) in &condition.query_params {
        matching::string(&at.key("queryParams", name), Some(parameter), found);
    }
    names::clients(at, condition.port, &condition.source_labels, &condition.gateways, found);
    if let Some(namespace) = condition.source_namespace.as_deref().filter(|name| !name.is_empty()) {
        found.error_if(
            !names::is_label(namespace),
            &at.field("sourceNamespace"),
            "is not a namespace's name",
        );
    }
}

fn named(at: &At, field: &str, conditions: &BTreeMap<String, StringMatch>, found: &mut Findings) {
    for (name, condition) in conditions {
        let at = at.key(field, name);
        found.check(&at, headers::match_name(name));
        // `*` is no expression, but in Istio means: the header is present.
        if condition.regex.as_deref() != Some("*") || field == "headers" {
            matching::string(&at, Some(condition), found);
        }
    }
}

pub(super) fn destination(at: &At, to: &Destination, found: &mut Findings) {
    if to.host == "*" {
        found.error(&at.field("host"), "\"*\" is no destination; name a service");
    } else {
        found.check(&at.field("host"), names::wildcard_domain(&to.host));
    }
    if let Some(subset) = to.subset.as_deref().filter(|name| !name.is_empty()) {
        found.error_if(
            !names::is_label(subset),
            &at.field("subset"),
            "is not a subset's name: it must be a DNS label",
        );
    }
    if let Some(PortSelector { number }) = &to.port {
        found.check(&at.field("port.number"), names::port(number.unwrap_or_default()));
    }
}

/// Weights are shares: none negative, and not all zero when there are several.
pub(super) fn weights(at: &At, weights: impl Iterator<Item = Option<i32>>, found: &mut Findings) {
    let (mut total, mut count) = (0_i64, 0);
    for (index, weight) in weights.enumerate() {
        let weight = weight.unwrap_or_default();
        if weight < 0 {
            found.error(
                &at.item("route", index).field("weight"),
                format!("{weight} is negative; a share is 0 or more"),
            );
        }
        total += i64::from(weight);
        count += 1;
    }
    found.error_if(
        count > 1 && total == 0,
        &at.field("route"),
        "the weights sum up to 0, so no destination gets anything",
    );
    found.error_if(
        total > i64::from(u32::MAX),
        &at.field("route"),
        "the weights sum up to more than 4294967295",
    );
}

fn mirrors(at: &At, route: &HttpRoute, found: &mut Findings) {
    found.error_if(
        route.mirror.is_some() && !route.mirrors.is_empty(),
        at,
        "mirror and mirrors exclude each other; move the one into the other",
    );
    if let Some(to) = &route.mirror {
        destination(&at.field("mirror"), to, found);
    }
    for (index, mirror) in route.mirrors.iter().enumerate() {
        let at = at.item("mirrors", index);
        destination(&at.field("destination"), &mirror.destination, found);
        found.check(&at.field("percentage"), whole_share(mirror.percentage.and_then(|share| share.value)));
    }
    found.check(
        &at.field("mirrorPercentage"),
        whole_share(route.mirror_percentage.and_then(|share| share.value)),
    );
    if let Some(percent) = route.mirror_percent {
        found.check(&at.field("mirrorPercent"), whole_share(Some(f64::from(percent))));
        found.warning(&at.field("mirrorPercent"), "is deprecated; use mirrorPercentage");
    }
}

fn whole_share(percent: Option<f64>) -> Result<(), String> {
    match percent {
        Some(percent) if !(0.0..=100.0).contains(&percent) => {
            Err(format!("{percent} is not between 0 and 100"))
        }
        _ => Ok(()),
    }
}

fn redirect(redirect: &HttpRedirect, matches: &[HttpMatchRequest]) -> Result<(), String> {
    let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let (uri, prefix) = (set(&redirect.uri), set(&redirect.prefix_rewrite));
    if uri && prefix {
        return Err("uri and prefixRewrite exclude each other".into());
    }
    let not_prefix =
        |condition: &HttpMatchRequest| condition.uri.as_ref().is_some_and(|uri| uri.prefix.is_none());
    if prefix && matches.iter().any(not_prefix) {
        return Err("prefixRewrite needs every condition on the uri to be a prefix".into());
    }
    let port = redirect.port.is_some() || redirect.derive_port.is_some();
    if !uri && !prefix && !set(&redirect.authority) && !set(&redirect.scheme) && !port {
        return Err("a redirect needs a uri, authority, scheme or port".into());
    }
    match redirect.redirect_code {
        None | Some(0 | 300..=399) => {}
        Some(code) => return Err(format!("redirectCode {code} is not between 300 and 399")),
    }
    if set(&redirect.scheme) && !matches!(redirect.scheme.as_deref(), Some("http" | "https")) {
        return Err("scheme must be http or https".into());
    }
    redirect.port.filter(|port| *port != 0).map_or(Ok(()), names::port)
}

fn direct_response(at: &At, response: &HttpDirectResponse, found: &mut Findings) {
    let status = response.status;
    if !(200..=600).contains(&status) {
        found.error(&at.field("status"), format!("{status} is not between 200 and 599"));
    }
    let body = response.body.as_ref();
    let text = body.and_then(|body| body.string.as_ref()).map(String::len);
    let size =
        text.or_else(|| body.and_then(|body| body.bytes.as_ref()).map(|bytes| bytes.0.len())).unwrap_or(0);
    if size > 1 << 20 {
        found.error(&at.field("body"), format!("has {size} bytes; at most 1 MiB is allowed"));
    } else if size > 100 << 10 {
        found.warning(
            &at.field("body"),
            format!("has {size} bytes, which every proxy of the route keeps in memory"),
        );
    }
}

fn rewrite(at: &At, rewrite: &HttpRewrite, found: &mut Findings) {
    let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    found.error_if(
        set(&rewrite.uri) && rewrite.uri_regex_rewrite.is_some(),
        at,
        "uri and uriRegexRewrite exclude each other",
    );
    found.error_if(
        !set(&rewrite.uri) && rewrite.uri_regex_rewrite.is_none() && !set(&rewrite.authority),
        at,
        "a rewrite needs a uri, uriRegexRewrite or authority",
    );
    let Some(by) = &rewrite.uri_regex_rewrite else { return };
    let at = at.field("uriRegexRewrite");
    if !set(&by.pattern) || !set(&by.rewrite) {
        found.error(&at, "both match and rewrite are needed");
    } else if let Some(pattern) = &by.pattern {
        found.check(&at.field("match"), matching::regex(pattern));
    }
}

/// The authority can be set by the rewrite or by one header change, not by several.
fn authorities(at: &At, route: &HttpRoute, found: &mut Findings) {
    let rewritten = route.rewrite.as_ref().and_then(|rewrite| rewrite.authority.as_ref()).is_some();
    let changes = route.headers.as_ref().and_then(|headers| headers.request.as_ref());
    let set = changes.into_iter().flat_map(|changes| changes.set.keys().chain(changes.add.keys()));
    let count = usize::from(rewritten) + set.filter(|name| headers::is_authority(name)).count();
    found.error_if(
        count > 1,
        at,
        "the authority is set more than once, by rewrite.authority or headers.request",
    );
}
