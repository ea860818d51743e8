//! What happens to a request that matched: forwarded, redirected, answered.

use crds::networking::{
    Destination, HttpDirectResponse, HttpRedirect, HttpRewrite, HttpRoute, HttpRouteDestination, Percent,
    RedirectPortSelection,
};

use super::destination::resolve;
use super::rule::Binding;
use super::{hash, headers, no_timeout, retry};
use crate::context::Context;
use crate::proto::{boolean, core, matcher, regex, route, runtime_fraction, uint32, written};
use route::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use route::route::Action;
use route::route_action::{ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy};
use route::weighted_cluster::{self, ClusterWeight};

/// An action without timeouts.
pub(super) fn unlimited() -> route::RouteAction {
    // `max_grpc_timeout` has a successor with other semantics; zero means that `grpc-timeout` is honoured uncapped.
    #[allow(deprecated)]
    route::RouteAction { timeout: no_timeout(), max_grpc_timeout: no_timeout(), ..Default::default() }
}

/// Translates the action of a rule into a route; none if it has no action that can be carried out.
pub(super) fn apply(
    context: &Context<'_>,
    binding: &Binding<'_>,
    rule: &HttpRoute,
    route: &mut route::Route,
) -> Option<()> {
    let operations = headers::operations(rule.headers.as_ref());
    route.request_headers_to_add = operations.request_add;
    route.request_headers_to_remove = operations.request_remove;
    route.response_headers_to_add = operations.response_add;
    route.response_headers_to_remove = operations.response_remove;
    route.action = Some(if let Some(redirect) = &rule.redirect {
        Action::Redirect(redirection(redirect, binding)?)
    } else if let Some(response) = &rule.direct_response {
        Action::DirectResponse(direct(response))
    } else if rule.route.is_empty() {
        return None;
    } else {
        Action::Route(forward(context, binding, rule, operations.authority, route))
    });
    Some(())
}

fn forward(
    context: &Context<'_>,
    binding: &Binding<'_>,
    rule: &HttpRoute,
    authority: Option<String>,
    route: &mut route::Route,
) -> route::RouteAction {
    let mut action = unlimited();
    if let Some(timeout) = rule.timeout {
        action.timeout = written(Some(timeout));
        #[allow(deprecated)]
        {
            action.max_grpc_timeout = written(Some(timeout));
        }
    }
    if let Some(rewrite) = &rule.rewrite {
        apply_rewrite(rewrite, &mut action);
    }
    let rewritten = rule.rewrite.as_ref().and_then(|rewrite| rewrite.authority.clone());
    let authority = rewritten.filter(|authority| !authority.is_empty()).or(authority);
    action.host_rewrite_specifier = authority.map(HostRewriteSpecifier::HostRewriteLiteral);
    action.request_mirror_policies = mirrors(context, binding, rule);
    let hashed = match &rule.route[..] {
        [only] => {
            single(context, binding, only, route, &mut action);
            !action.hash_policy.is_empty()
        }
        several => {
            weighted(context, binding, several, &mut action);
            false
        }
    };
    let mesh = context.mesh.settings.config.default_http_retry_policy.as_ref();
    action.retry_policy = retry::policy(rule.retries.as_ref().or(mesh), hashed);
    action
}

/// One destination: its weight has no meaning, its headers are the route's.
fn single(
    context: &Context<'_>,
    binding: &Binding<'_>,
    only: &HttpRouteDestination,
    route: &mut route::Route,
    action: &mut route::RouteAction,
) {
    let resolved = resolve(context, &only.destination, binding.port);
    let subset = only.destination.subset.as_deref().unwrap_or_default();
    let hash = hash::http(context, &only.destination.host, &resolved.namespace, subset, resolved.port);
    action.hash_policy.extend(hash);
    action.cluster_specifier = Some(ClusterSpecifier::Cluster(resolved.cluster));
    let operations = headers::operations(only.headers.as_ref());
    route.request_headers_to_add.extend(operations.request_add);
    route.request_headers_to_remove.extend(operations.request_remove);
    route.response_headers_to_add.extend(operations.response_add);
    route.response_headers_to_remove.extend(operations.response_remove);
    if action.host_rewrite_specifier.is_none() {
        action.host_rewrite_specifier = operations.authority.map(HostRewriteSpecifier::HostRewriteLiteral);
    }
}

/// Several destinations share by weight; those of weight 0 get nothing and are left out.
fn weighted(
    context: &Context<'_>,
    binding: &Binding<'_>,
    several: &[HttpRouteDestination],
    action: &mut route::RouteAction,
) {
    let mut clusters = Vec::new();
    for one in several {
        let weight = one.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or_default();
        if weight == 0 {
            continue;
        }
        let resolved = resolve(context, &one.destination, binding.port);
        let subset = one.destination.subset.as_deref().unwrap_or_default();
        let hash = hash::http(context, &one.destination.host, &resolved.namespace, subset, resolved.port);
        action.hash_policy.extend(hash);
        let operations = headers::operations(one.headers.as_ref());
        clusters.push(ClusterWeight {
            name: resolved.cluster,
            weight: uint32(weight),
            request_headers_to_add: operations.request_add,
            request_headers_to_remove: operations.request_remove,
            response_headers_to_add: operations.response_add,
            response_headers_to_remove: operations.response_remove,
            host_rewrite_specifier: operations
                .authority
                .map(weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral),
            ..Default::default()
        });
    }
    action.cluster_specifier =
        Some(ClusterSpecifier::WeightedClusters(route::WeightedCluster { clusters, ..Default::default() }));
}

fn apply_rewrite(rewrite: &HttpRewrite, action: &mut route::RouteAction) {
    if let Some(by_regex) = &rewrite.uri_regex_rewrite {
        action.regex_rewrite = Some(matcher::RegexMatchAndSubstitute {
            pattern: Some(regex(by_regex.pattern.as_deref().unwrap_or_default())),
            substitution: by_regex.rewrite.clone().unwrap_or_default(),
        });
    } else if let Some(uri) = &rewrite.uri {
        // Replaces what matched: all of an exact path, or only the prefix.
        action.prefix_rewrite.clone_from(uri);
    }
}

/// Copies of requests. A percentage that is absent means all, zero means none.
fn mirrors(context: &Context<'_>, binding: &Binding<'_>, rule: &HttpRoute) -> Vec<RequestMirrorPolicy> {
    let percent = |percentage: Option<&Percent>| {
        percentage.map_or(100.0, |percentage| percentage.value.unwrap_or_default())
    };
    let old_style = rule
        .mirror_percentage
        .as_ref()
        .map_or_else(|| rule.mirror_percent.map_or(100.0, f64::from), |percentage| percent(Some(percentage)));
    let single = rule.mirror.iter().map(|destination| (destination, old_style));
    let many = rule.mirrors.iter().map(|mirror| (&mirror.destination, percent(mirror.percentage.as_ref())));
    let policy = |(destination, percent): (&Destination, f64)| RequestMirrorPolicy {
        cluster: resolve(context, destination, binding.port).cluster,
        runtime_fraction: Some(runtime_fraction(percent)),
        trace_sampled: boolean(false),
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    };
    single.chain(many).filter(|(_, percent)| *percent > 0.0).map(policy).collect()
}

fn redirection(redirect: &HttpRedirect, binding: &Binding<'_>) -> Option<route::RedirectAction> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let code = match redirect.redirect_code.unwrap_or_default() {
        0 | 301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => return None,
    };
    let scheme = given(&redirect.scheme);
    let path = given(&redirect.prefix_rewrite)
        .map(PathRewriteSpecifier::PrefixRewrite)
        .or_else(|| given(&redirect.uri).map(PathRewriteSpecifier::PathRedirect));
    let port = match redirect.derive_port {
        Some(RedirectPortSelection::FromRequestPort) => binding.port.into(),
        Some(_) => 0,
        None => redirect.port.unwrap_or_default(),
    };
    // The default port of a scheme goes without saying.
    let effective = scheme.as_deref().unwrap_or(if binding.tls { "https" } else { "http" });
    let goes_without_saying = matches!((port, effective), (80, "http") | (443, "https"));
    Some(route::RedirectAction {
        host_redirect: redirect.authority.clone().unwrap_or_default(),
        port_redirect: if goes_without_saying { 0 } else { port },
        path_rewrite_specifier: path,
        scheme_rewrite_specifier: scheme.map(SchemeRewriteSpecifier::SchemeRedirect),
        response_code: code.into(),
        ..Default::default()
    })
}

fn direct(response: &HttpDirectResponse) -> route::DirectResponseAction {
    use core::data_source::Specifier;
    let body = response.body.as_ref().and_then(|body| match (&body.string, &body.bytes) {
        (Some(text), _) => Some(Specifier::InlineString(text.clone())),
        (None, Some(bytes)) => Some(Specifier::InlineBytes(bytes.0.clone())),
        (None, None) => None,
    });
    route::DirectResponseAction {
        status: response.status,
        body: body.map(|specifier| core::DataSource { specifier: Some(specifier), ..Default::default() }),
        ..Default::default()
    }
}
