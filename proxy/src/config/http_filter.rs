//! The chain of HTTP filters. Those that have a part in the request path become flags; one that is not known is refused.

use std::sync::Arc;

use envoy_types::pb::envoy::extensions::filters::http::{fault::v3 as fault_pb, router::v3 as router_pb};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as pb;
use envoy_types::pb::google::protobuf::Any;

use super::error::{At as _, ConfigError, Result};
use super::value::decode;
use super::{filter_config, istio};
use crate::snapshot::http::HttpFilters;
use crate::snapshot::route::Fault;

const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const FAULT: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const CORS: &str = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";

/// Compiles the chain; its last filter must be the router.
pub(super) fn filters(list: &[pb::HttpFilter]) -> Result<HttpFilters> {
    let mut filters = HttpFilters::default();
    let mut ends_in_router = false;
    for (index, filter) in list.iter().enumerate() {
        if ends_in_router {
            return Err(ConfigError::new("a filter behind the router is never reached"))
                .entry("http_filters", index);
        }
        ends_in_router = add(&mut filters, filter).entry("http_filters", index)?;
    }
    if !ends_in_router {
        return Err(ConfigError::new("http_filters: the last filter must be envoy.filters.http.router"));
    }
    Ok(filters)
}

/// Adds one filter; says whether it is the router.
fn add(filters: &mut HttpFilters, filter: &pb::HttpFilter) -> Result<bool> {
    use pb::http_filter::ConfigType;
    let any = match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => any,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(ConfigError::unsupported(format!(
                "discovery of the HTTP filter {:?} (ECDS)",
                filter.name
            )));
        }
        None => {
            return Err(ConfigError::new(format!("the HTTP filter {:?} has no typed_config", filter.name)));
        }
    };
    let type_url = istio::type_of(any)?;
    if filter.disabled && type_url != ROUTER {
        return Ok(false);
    }
    match known(filters, &type_url, any) {
        Some(result) => result,
        None if filter.is_optional => Ok(false),
        None => Err(ConfigError::unknown_extension("HTTP filter", &filter.name, &type_url)),
    }
}

fn known(filters: &mut HttpFilters, type_url: &str, any: &Any) -> Option<Result<bool>> {
    let mut done = Ok(false);
    match type_url {
        ROUTER => {
            done = decode::<router_pb::Router>(any).and_then(|router| {
                filters.suppress_envoy_headers = router.suppress_envoy_headers;
                if !router.upstream_http_filters.is_empty() {
                    return Err(ConfigError::unsupported("upstream_http_filters"));
                }
                Ok(true)
            });
        }
        FAULT => match fault(any) {
            Ok(fault) => filters.fault = Some(fault),
            Err(error) => done = Err(error),
        },
        CORS => filters.cors = true,
        istio::STATS => {
            filters.istio_stats = true;
            done = istio::check_stats(any).map(|()| false);
        }
        istio::ALPN => {
            filters.istio_alpn = true;
            done = istio::check_alpn(any).map(|()| false);
        }
        istio::PEER_METADATA => filters.metadata_exchange = true,
        istio::GRPC_STATS => filters.grpc_stats = true,
        istio::AUTHN => {}
        _ => return None,
    }
    Some(done)
}

/// The filter's own faults, if it has any.
fn fault(any: &Any) -> Result<Option<Arc<Fault>>> {
    let value: fault_pb::HttpFault = decode(any)?;
    if value == fault_pb::HttpFault::default() {
        return Ok(None);
    }
    filter_config::fault(&value).map(|fault| Some(Arc::new(fault)))
}
