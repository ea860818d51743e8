//! RouteConfigurations and VirtualHosts to route tables.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as pb;

use super::error::{At as _, ConfigError, Result, each};
use super::filter_config::{PerFilter, cors_route, per_filter};
use super::in_use::Texts;
use super::value::{enumeration, metadata, number, runtime_fraction, text_in};
use super::{claim, headers, matcher, route_action};
use crate::snapshot::path::{PathCondition, PathMatch};
use crate::snapshot::route::{Conditions, Origin, RequireTls, Route, RouteTable, VirtualHost};

/// A compiled RouteConfiguration.
#[derive(Debug)]
pub struct CompiledRoutes {
    /// The table, with the virtual hosts that are written in it.
    pub table: RouteTable,
    /// More virtual hosts come one by one (VHDS).
    pub by_virtual_host: bool,
}

/// What virtual hosts and routes inherit from the level above.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    pub(super) filters: PerFilter,
    pub(super) retry: Option<pb::RetryPolicy>,
    pub(super) mirrors: Vec<pb::route_action::RequestMirrorPolicy>,
    /// Of one virtual host.
    pub(super) texts: Texts,
}

/// Compiles a RouteConfiguration.
pub fn route_table(value: &pb::RouteConfiguration) -> Result<CompiledRoutes> {
    if !value.internal_only_headers.is_empty() {
        return Err(ConfigError::unsupported("internal_only_headers"));
    }
    if !value.vhost_header.is_empty() {
        return Err(ConfigError::unsupported("vhost_header"));
    }
    let inherited = Inherited {
        filters: per_filter(&value.typed_per_filter_config)?,
        retry: None,
        mirrors: value.request_mirror_policies.clone(),
        texts: Texts::default(),
    };
    let hosts = each("virtual_hosts", &value.virtual_hosts, |host| {
        virtual_host_within(host, &inherited).map(Arc::new).map_err(|e| named(&host.name, e))
    })?;
    let mut table = RouteTable::new(value.name.as_str(), hosts).map_err(ConfigError::new)?;
    table.ignore_port = value.ignore_port_in_host_matching;
    table.request_headers =
        headers::request(&value.request_headers_to_add, &value.request_headers_to_remove)?;
    table.response_headers =
        headers::response(&value.response_headers_to_add, &value.response_headers_to_remove)?;
    table.table_edits_last = !value.most_specific_header_mutations_wins;
    Ok(CompiledRoutes { table, by_virtual_host: value.vhds.is_some() })
}

/// Compiles a VirtualHost that comes by itself.
pub fn virtual_host(value: &pb::VirtualHost) -> Result<VirtualHost> {
    virtual_host_within(value, &Inherited::default())
}

fn named(name: &str, error: ConfigError) -> ConfigError {
    ConfigError::new(format!("({name}) {error}"))
}

fn virtual_host_within(value: &pb::VirtualHost, outer: &Inherited) -> Result<VirtualHost> {
    if value.matcher.is_some() {
        return Err(ConfigError::unsupported("matcher"));
    }
    if value.hedge_policy.is_some() {
        return Err(ConfigError::unsupported("hedge_policy"));
    }
    if value.domains.is_empty() {
        return Err(ConfigError::new("domains: at least one is required"));
    }
    let own = per_filter(&value.typed_per_filter_config)?;
    let own_cors = value.cors.as_ref().map(cors_route).transpose().field("cors")?.map(Arc::new);
    let filters = PerFilter { cors: own.cors.or(own_cors), fault: own.fault }.or(&outer.filters);
    let inherited = Inherited {
        filters: PerFilter::default(),
        retry: value.retry_policy.clone(),
        mirrors: if value.request_mirror_policies.is_empty() {
            outer.mirrors.clone()
        } else {
            value.request_mirror_policies.clone()
        },
        texts: Texts::default(),
    };
    let routes = each("routes", &value.routes, |item| {
        route(item, &inherited)
            .map(|route| Route { stat_name: stat_name(&value.name, &item.stat_prefix), ..route })
            .map(Arc::new)
            .map_err(|e| if item.name.is_empty() { e } else { named(&item.name, e) })
    })?;
    let domains = value.domains.iter().map(|domain| domain.as_str().into()).collect();
    let mut host = VirtualHost::new(value.name.as_str(), domains, routes).map_err(ConfigError::new)?;
    host.require_tls = require_tls(value.require_tls).field("require_tls")?;
    host.request_headers = headers::request(&value.request_headers_to_add, &value.request_headers_to_remove)?;
    host.response_headers =
        headers::response(&value.response_headers_to_add, &value.response_headers_to_remove)?;
    host.attempt_count_in_request = value.include_request_attempt_count;
    host.attempt_count_in_response = value.include_attempt_count_in_response;
    host.cors = filters.cors;
    host.fault = filters.fault;
    host.buffer_limit = number(value.per_request_buffer_limit_bytes.as_ref()).or_else(|| {
        value.request_body_buffer_limit.map(|limit| u32::try_from(limit.value).unwrap_or(u32::MAX))
    });
    host.origin = origin(value.metadata.as_ref(), &inherited.texts);
    Ok(host)
}

/// Under which name a route's answers are counted: `vhost.<virtual host>.route.<prefix>`, as an Envoy spells it.
fn stat_name(virtual_host: &str, prefix: &str) -> Option<Arc<str>> {
    (!prefix.is_empty()).then(|| format!("vhost.{virtual_host}.route.{prefix}").into())
}

fn require_tls(value: i32) -> Result<RequireTls> {
    use pb::virtual_host::TlsRequirementType as Kind;
    Ok(match enumeration(value)? {
        Kind::None => RequireTls::No,
        Kind::ExternalOnly => RequireTls::ExternalOnly,
        Kind::All => RequireTls::All,
    })
}

fn route(value: &pb::Route, inherited: &Inherited) -> Result<Route> {
    use pb::route::Action as Pb;
    let condition = value.r#match.as_ref().ok_or_else(|| ConfigError::new("match is required"))?;
    let own = per_filter(&value.typed_per_filter_config)?;
    let mut cors = own.cors;
    let action = match &value.action {
        Some(Pb::Route(forward)) => {
            let older = forward.cors.as_ref().map(cors_route).transpose().field("route.cors")?;
            cors = cors.or(older.map(Arc::new));
            route_action::forward(forward, inherited).field("route")?
        }
        Some(Pb::Redirect(redirect)) => route_action::redirect(redirect).field("redirect")?,
        Some(Pb::DirectResponse(direct)) => route_action::direct(direct).field("direct_response")?,
        Some(Pb::FilterAction(_)) => return Err(ConfigError::unsupported("filter_action")),
        Some(Pb::NonForwardingAction(_)) => return Err(ConfigError::unsupported("non_forwarding_action")),
        None => return Err(ConfigError::new("an action is required")),
    };
    let mut route = Route::new(action);
    route.name = inherited.texts.one(&value.name);
    route.path = path(condition).field("match")?;
    route.conditions = conditions(condition).field("match")?;
    route.request_headers =
        headers::request(&value.request_headers_to_add, &value.request_headers_to_remove)?;
    route.response_headers =
        headers::response(&value.response_headers_to_add, &value.response_headers_to_remove)?;
    route.fault = own.fault;
    route.cors = cors;
    route.origin = origin(value.metadata.as_ref(), &inherited.texts);
    Ok(route)
}

fn path(value: &pb::RouteMatch) -> Result<PathCondition> {
    use pb::route_match::PathSpecifier as Pb;
    let ignore_case = value.case_sensitive.as_ref().is_some_and(|sensitive| !sensitive.value);
    let path = match &value.path_specifier {
        Some(Pb::Prefix(prefix)) => PathMatch::Prefix(prefix.as_str().into()),
        Some(Pb::Path(path)) => PathMatch::Exact(path.as_str().into()),
        Some(Pb::SafeRegex(regex)) => PathMatch::Regex(regex.regex.as_str().into()),
        Some(Pb::PathSeparatedPrefix(prefix)) => {
            PathMatch::PathSeparatedPrefix(prefix.trim_end_matches('/').into())
        }
        Some(Pb::ConnectMatcher(_)) => PathMatch::Connect,
        Some(Pb::PathMatchPolicy(policy)) => {
            let type_url = policy.typed_config.as_ref().map_or("", |any| any.type_url.as_str());
            return Err(ConfigError::unknown_extension("path matcher", &policy.name, type_url));
        }
        None => return Err(ConfigError::new("a condition on the path is required")),
    };
    Ok(PathCondition { path, ignore_case })
}

fn conditions(value: &pb::RouteMatch) -> Result<Option<Box<Conditions>>> {
    let unsupported = [
        ("cookies", value.cookies.is_empty()),
        ("tls_context", value.tls_context.is_none()),
        ("filter_state", value.filter_state.is_empty()),
    ];
    if let Some((field, _)) = unsupported.into_iter().find(|(_, unset)| !unset) {
        return Err(ConfigError::unsupported(format!("a condition on {field}")));
    }
    let share = value.runtime_fraction.as_ref().map(|share| runtime_fraction(Some(share)));
    let conditions = Conditions {
        headers: each("headers", &value.headers, matcher::header)?,
        query: each("query_parameters", &value.query_parameters, matcher::query)?,
        claims: each("dynamic_metadata", &value.dynamic_metadata, claim::claim)?,
        grpc: value.grpc.is_some(),
        share: share.transpose().field("runtime_fraction")?,
    };
    Ok((!conditions.is_empty()).then(|| Box::new(conditions)))
}

/// Which object of the user's a resource comes from, as the control plane writes it into the metadata.
fn origin(value: Option<&core::Metadata>, texts: &Texts) -> Option<Origin> {
    let istio = metadata(value, "istio")?;
    Some(Origin {
        config: texts.one(text_in(istio, "config")?),
        rule: texts.one(text_in(istio, "rule").unwrap_or_default()),
    })
}
