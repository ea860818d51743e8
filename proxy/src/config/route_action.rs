//! What routes do: forward, redirect, answer.

use std::time::Duration;

use ::http::StatusCode;
use envoy_types::pb::envoy::config::route::v3 as pb;

use super::error::{At as _, ConfigError, Result, each};
use super::filter_config::{header_value, status};
use super::in_use::Texts;
use super::matcher::{header_name, substitution};
use super::route::Inherited;
use super::value::{data, enumeration, optional_duration, port, runtime_fraction};
use super::{headers, retry};
use crate::snapshot::route::{
    Action, Destination, DirectResponse, Forward, GrpcTimeout, HashPolicy, HashSource, HostRewrite, Mirror,
    PathRewrite, Redirect, Target, Weighted,
};

/// Envoy's timeout for a route that sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// A route that sends requests on.
pub(super) fn forward(value: &pb::RouteAction, inherited: &Inherited) -> Result<Action> {
    refuse_unsupported(value)?;
    let mut forward = Forward::to(destination(value, &inherited.texts)?);
    forward.not_found_status = not_found(value.cluster_not_found_response_code)?;
    forward.rewrite = rewrite(value)?.map(Box::new);
    forward.host_rewrite = host_rewrite(value)?.map(Box::new);
    forward.append_forwarded_host = value.append_x_forwarded_host;
    forward.timeout = super::value::timeout("timeout", value.timeout.as_ref(), Some(DEFAULT_TIMEOUT))?;
    forward.idle_timeout = optional_duration("idle_timeout", value.idle_timeout.as_ref())?;
    forward.grpc_timeout = grpc_timeout(value)?;
    forward.retry = match value.retry_policy.as_ref().or(inherited.retry.as_ref()) {
        Some(policy) => retry::policy(policy).field("retry_policy")?,
        None => None,
    };
    forward.hash = each("hash_policy", &value.hash_policy, hash)?.into();
    let mirrors = if value.request_mirror_policies.is_empty() {
        &inherited.mirrors
    } else {
        &value.request_mirror_policies
    };
    forward.mirrors = each("request_mirror_policies", mirrors, mirror)?.into();
    let upgrades = value.upgrade_configs.iter().map(|upgrade| {
        let enabled = upgrade.enabled.as_ref().is_none_or(|enabled| enabled.value);
        let name = upgrade.upgrade_type.to_ascii_lowercase();
        forward.connect |= name == "connect" && enabled && upgrade.connect_config.is_some();
        (name.into(), enabled)
    });
    forward.upgrades = upgrades.collect();
    Ok(Action::Forward(Box::new(forward)))
}

fn refuse_unsupported(value: &pb::RouteAction) -> Result<()> {
    let fields = [
        ("metadata_match", value.metadata_match.is_some()),
        ("internal_redirect_policy", value.internal_redirect_policy.is_some()),
        ("hedge_policy", value.hedge_policy.is_some()),
        ("path_rewrite_policy", value.path_rewrite_policy.is_some()),
        ("retry_policy_typed_config", value.retry_policy_typed_config.is_some()),
    ];
    match fields.into_iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(ConfigError::unsupported(field)),
        None => Ok(()),
    }
}

fn destination(value: &pb::RouteAction, texts: &Texts) -> Result<Destination> {
    use pb::route_action::ClusterSpecifier as Pb;
    match &value.cluster_specifier {
        Some(Pb::Cluster(name)) => Ok(Destination::Clusters(Weighted::single(Target::new(texts.one(name))))),
        Some(Pb::ClusterHeader(name)) => Ok(Destination::Header(header_name(name).field("cluster_header")?)),
        Some(Pb::WeightedClusters(weighted)) => {
            let targets = each("weighted_clusters.clusters", &weighted.clusters, |target| {
                weighted_target(target, texts)
            })?;
            Weighted::new(targets).map(Destination::Clusters).ok_or_else(|| {
                ConfigError::new("weighted_clusters: the weights must add up to 1 to 4294967295")
            })
        }
        Some(Pb::ClusterSpecifierPlugin(name)) => {
            Err(ConfigError::unsupported(format!("the cluster specifier plugin {name:?}")))
        }
        Some(Pb::InlineClusterSpecifierPlugin(_)) => {
            Err(ConfigError::unsupported("inline_cluster_specifier_plugin"))
        }
        None => Err(ConfigError::new("a cluster is required")),
    }
}

fn weighted_target(value: &pb::weighted_cluster::ClusterWeight, texts: &Texts) -> Result<(u32, Target)> {
    use pb::weighted_cluster::cluster_weight::HostRewriteSpecifier as Pb;
    if !value.cluster_header.is_empty() {
        return Err(ConfigError::unsupported("cluster_header"));
    }
    let mut target = Target::new(texts.one(&value.name));
    target.request_headers =
        headers::request(&value.request_headers_to_add, &value.request_headers_to_remove)?;
    target.response_headers =
        headers::response(&value.response_headers_to_add, &value.response_headers_to_remove)?;
    target.host_rewrite = match &value.host_rewrite_specifier {
        Some(Pb::HostRewriteLiteral(host)) => header_value(host).field("host_rewrite_literal")?.map(Box::new),
        None => None,
    };
    // A weight that isn't given is 1 in Envoy.
    Ok((value.weight.as_ref().map_or(1, |weight| weight.value), target))
}

fn not_found(value: i32) -> Result<StatusCode> {
    use pb::route_action::ClusterNotFoundResponseCode as Pb;
    Ok(match enumeration(value).field("cluster_not_found_response_code")? {
        Pb::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Pb::NotFound => StatusCode::NOT_FOUND,
        Pb::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
    })
}

fn rewrite(value: &pb::RouteAction) -> Result<Option<PathRewrite>> {
    if let Some(regex) = &value.regex_rewrite {
        let (regex, replacement) = substitution(regex).field("regex_rewrite")?;
        return Ok(Some(PathRewrite::Regex(regex, replacement)));
    }
    if !value.path_rewrite.is_empty() {
        return Ok(Some(PathRewrite::Full(value.path_rewrite.as_str().into())));
    }
    Ok((!value.prefix_rewrite.is_empty()).then(|| PathRewrite::Prefix(value.prefix_rewrite.as_str().into())))
}

fn host_rewrite(value: &pb::RouteAction) -> Result<Option<HostRewrite>> {
    use pb::route_action::HostRewriteSpecifier as Pb;
    Ok(match &value.host_rewrite_specifier {
        None => None,
        Some(Pb::HostRewriteLiteral(host)) => {
            header_value(host).field("host_rewrite_literal")?.map(HostRewrite::Literal)
        }
        Some(Pb::AutoHostRewrite(auto)) => auto.value.then_some(HostRewrite::Auto),
        Some(Pb::HostRewriteHeader(name)) => {
            Some(HostRewrite::Header(header_name(name).field("host_rewrite_header")?))
        }
        Some(Pb::HostRewritePathRegex(regex)) => {
            let (regex, replacement) = substitution(regex).field("host_rewrite_path_regex")?;
            Some(HostRewrite::PathRegex(regex, replacement))
        }
        Some(Pb::HostRewrite(_)) => return Err(ConfigError::unsupported("host_rewrite")),
    })
}

/// `grpc-timeout` counts where a limit is configured; a limit of zero is none.
fn grpc_timeout(value: &pb::RouteAction) -> Result<GrpcTimeout> {
    let newer = value.max_stream_duration.as_ref();
    if newer.and_then(|d| d.max_stream_duration.as_ref()).is_some_and(|d| d.seconds != 0 || d.nanos != 0) {
        return Err(ConfigError::unsupported("max_stream_duration.max_stream_duration"));
    }
    let limit = newer.and_then(|d| d.grpc_timeout_header_max.as_ref()).or(value.max_grpc_timeout.as_ref());
    Ok(match optional_duration("max_stream_duration.grpc_timeout_header_max", limit)? {
        None => GrpcTimeout::Ignored,
        Some(zero) if zero.is_zero() => GrpcTimeout::UpTo(None),
        some => GrpcTimeout::UpTo(some),
    })
}

fn hash(value: &pb::route_action::HashPolicy) -> Result<HashPolicy> {
    use pb::route_action::hash_policy::PolicySpecifier as Pb;
    let source = match &value.policy_specifier {
        Some(Pb::Header(header)) => HashSource::Header(header_name(&header.header_name).field("header")?),
        Some(Pb::Cookie(cookie)) => HashSource::Cookie {
            name: cookie.name.as_str().into(),
            path: (!cookie.path.is_empty()).then(|| cookie.path.as_str().into()),
            ttl: optional_duration("cookie.ttl", cookie.ttl.as_ref())?,
            attributes: cookie_attributes(&cookie.attributes)?,
        },
        Some(Pb::ConnectionProperties(properties)) if properties.source_ip => HashSource::SourceIp,
        Some(Pb::ConnectionProperties(_)) => {
            return Err(ConfigError::unsupported("connection_properties without source_ip"));
        }
        Some(Pb::QueryParameter(parameter)) => HashSource::Query(parameter.name.as_str().into()),
        Some(Pb::FilterState(_)) => return Err(ConfigError::unsupported("hashing by filter_state")),
        None => return Err(ConfigError::new("a policy is required")),
    };
    Ok(HashPolicy { source, terminal: value.terminal })
}

fn cookie_attributes(list: &[pb::route_action::hash_policy::CookieAttribute]) -> Result<Box<str>> {
    let mut text = String::new();
    for attribute in list {
        let one = match attribute.value.as_str() {
            "" => format!("; {}", attribute.name),
            value => format!("; {}={value}", attribute.name),
        };
        header_value(&one).field("cookie.attributes")?;
        text.push_str(&one);
    }
    Ok(text.into())
}

fn mirror(value: &pb::route_action::RequestMirrorPolicy) -> Result<Mirror> {
    if !value.cluster_header.is_empty() {
        return Err(ConfigError::unsupported("cluster_header"));
    }
    Ok(Mirror {
        cluster: value.cluster.as_str().into(),
        share: runtime_fraction(value.runtime_fraction.as_ref()).field("runtime_fraction")?,
        keep_host: value.disable_shadow_host_suffix_append,
    })
}

/// A route that answers with a redirect.
pub(super) fn redirect(value: &pb::RedirectAction) -> Result<Action> {
    use pb::redirect_action::{
        PathRewriteSpecifier as Path, RedirectResponseCode as Code, SchemeRewriteSpecifier,
    };
    let path = match &value.path_rewrite_specifier {
        None => None,
        Some(Path::PathRedirect(path) | Path::PathRewrite(path)) => {
            Some(PathRewrite::Full(path.as_str().into()))
        }
        Some(Path::PrefixRewrite(prefix)) => Some(PathRewrite::Prefix(prefix.as_str().into())),
        Some(Path::RegexRewrite(regex)) => {
            let (regex, replacement) = substitution(regex).field("regex_rewrite")?;
            Some(PathRewrite::Regex(regex, replacement))
        }
    };
    let status = match enumeration(value.response_code).field("response_code")? {
        Code::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
        Code::Found => StatusCode::FOUND,
        Code::SeeOther => StatusCode::SEE_OTHER,
        Code::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
        Code::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
    };
    let given = |text: &String| (!text.is_empty()).then(|| text.as_str().into());
    Ok(Action::Redirect(Box::new(Redirect {
        status,
        scheme: match &value.scheme_rewrite_specifier {
            Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
            Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(scheme.as_str().into()),
            _ => None,
        },
        host: given(&value.host_redirect),
        port: if value.port_redirect == 0 {
            None
        } else {
            Some(port(value.port_redirect).field("port_redirect")?)
        },
        path,
        strip_query: value.strip_query,
    })))
}

/// A route that answers.
pub(super) fn direct(value: &pb::DirectResponseAction) -> Result<Action> {
    if value.body_format.is_some() {
        return Err(ConfigError::unsupported("body_format"));
    }
    Ok(Action::Direct(Box::new(DirectResponse {
        status: status(value.status).field("status")?,
        body: data(value.body.as_ref()).field("body")?.unwrap_or_default().into(),
    })))
}
