//! What the proxy does: the configuration through `translate` to protos, through the proxy's own compiler to its tables,
//! and a request through its own stages.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crds::mesh_config::NormalizationType;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as pb;
use envoy_types::pb::google::protobuf::value::Kind;
use http::uri::Scheme;
use model::Mesh;
use prost::Message;
use proxy::config;
use proxy::request::head::Head;
use proxy::snapshot::RouteTable;
use proxy::snapshot::http::{EscapedSlashes, PathNormalisation};
use proxy::snapshot::route::{Action, Destination, Forward, RequireTls, Route};
use proxy::stage;
use proxy::stage::normalise::{Normalised, normalise};
use translate::{Memo, ProxyNode, ProxyView, ResourceType, Resources, generate};

use crate::world::Proxy;
use explain::Request;

/// What one proxy was told.
pub(crate) struct Compiled {
    resources: Resources,
    /// Compiled when they are first asked for.
    tables: RefCell<HashMap<String, Option<Arc<RouteTable>>>>,
    paths: PathNormalisation,
    /// The DestinationRule that each cluster names as its origin.
    clusters: HashMap<String, Option<String>>,
}

/// What becomes of a request, as far as both sides say it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fate {
    pub(crate) virtual_host: Option<String>,
    /// VirtualService, place or name of the rule, name of the route.
    pub(crate) rule: Option<(String, String, String)>,
    pub(crate) action: Act,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    NoTable,
    /// The proxy doesn't take what `translate` makes.
    Refused(String),
    NotFound,
    Redirect(u16, String),
    Answer(u32, String),
    Forward(Sent),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) mirrors: Vec<(String, u32)>,
    pub(crate) targets: Vec<To>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct To {
    pub(crate) cluster: String,
    pub(crate) weight: u32,
    pub(crate) authority: String,
    /// Whether the cluster exists, and the DestinationRule that it is made by.
    #[expect(clippy::option_option, reason = "a cluster may be missing, and so may its rule")]
    pub(crate) known: Option<Option<String>>,
}

impl Compiled {
    pub(crate) fn new(mesh: &Mesh, proxy: &Proxy, memo: &Memo) -> Result<Self, String> {
        let role = if proxy.gateway { "router" } else { "sidecar" };
        let (pod, namespace) = (proxy.pod, proxy.namespace);
        let node = core::Node {
            id: format!("{role}~10.1.0.1~{pod}.{namespace}~{namespace}.svc.cluster.local"),
            user_agent_name: "trysail".to_owned(),
            ..Default::default()
        };
        let node = ProxyNode::from_envoy(&node).map_err(|error| error.to_string())?;
        let resources = generate(mesh, &ProxyView::of(&node, mesh), memo);
        let clusters = resources.iter(ResourceType::Cluster).map(|one| {
            let cluster = Cluster::decode(&*one.body).map_err(|error| error.to_string())?;
            let name = cluster.name.clone();
            Ok((name, config_of(cluster.metadata.as_ref())))
        });
        let clusters = clusters.collect::<Result<_, String>>()?;
        Ok(Self { resources, tables: RefCell::default(), paths: paths(mesh), clusters })
    }

    fn table(&self, name: &str) -> Result<Option<Arc<RouteTable>>, String> {
        if let Some(known) = self.tables.borrow().get(name) {
            return Ok(known.clone());
        }
        let frame = self.resources.get(ResourceType::Route, name);
        let made = frame.map(|frame| table(&self.resources, name, &frame.body)).transpose()?;
        self.tables.borrow_mut().insert(name.to_owned(), made.clone());
        Ok(made)
    }

    /// What becomes of a request that the listener hands to the routes of this name.
    pub(crate) fn fate(&self, routes: &str, request: &Request) -> Fate {
        let nothing = |action| Fate { virtual_host: None, rule: None, action };
        let table = match self.table(routes) {
            Ok(Some(table)) => table,
            Ok(None) => return nothing(Act::NoTable),
            Err(problem) => return nothing(Act::Refused(problem)),
        };
        let mut head = head(request);
        if let Normalised::Changed(path) = normalise(&head.path, self.paths) {
            head.path = path;
        }
        let host = stage::route::host(&table, &head.view());
        let virtual_host = host.map(|host| host.name.to_string());
        if host.is_some_and(|host| host.require_tls != RequireTls::No) && head.scheme != Scheme::HTTPS {
            let location = stage::redirect::to_https(&head).map(|it| it.to_str().unwrap().to_owned());
            return Fate {
                virtual_host,
                rule: None,
                action: Act::Redirect(301, location.unwrap_or_default()),
            };
        }
        let Some(routed) = stage::route::find(&table, &head.view(), &mut || 0) else {
            return Fate { virtual_host, rule: None, action: Act::NotFound };
        };
        let route = &*routed.route;
        let rule = route
            .origin
            .as_ref()
            .map(|origin| (short(&origin.config), origin.rule.to_string(), route.name.to_string()));
        let action = match &route.action {
            Action::Direct(direct) => {
                let body = String::from_utf8_lossy(&direct.body).into_owned();
                Act::Answer(direct.status.as_u16().into(), body)
            }
            Action::Redirect(redirect) => {
                let location = stage::redirect::location(redirect, &route.path.path, &head, request.scheme());
                let location = location.map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default();
                Act::Redirect(redirect.status.as_u16(), location)
            }
            Action::Forward(forward) => Act::Forward(self.sent(route, forward, &mut head)),
        };
        Fate { virtual_host, rule, action }
    }

    fn sent(&self, route: &Route, forward: &Forward, head: &mut Head) -> Sent {
        let Destination::Clusters(clusters) = &forward.destination else { panic!("a cluster by header") };
        let before = head.clone();
        let mut targets = Vec::new();
        for (weight, target) in clusters.iter() {
            *head = before.clone();
            stage::rewrite::apply(route, forward, Some(target), head);
            targets.push(To {
                cluster: target.cluster.to_string(),
                weight: *weight,
                authority: head.authority.to_string(),
                known: self.clusters.get(&*target.cluster).cloned(),
            });
        }
        Sent {
            path: head.path.to_string(),
            timeout: forward.timeout,
            retries: forward.retry.as_ref().map(|policy| policy.retries),
            mirrors: forward.mirrors.iter().map(|it| (it.cluster.to_string(), it.share.0)).collect(),
            targets,
        }
    }
}

/// What listeners are told of paths; `listener` tests of `translate` show that they are.
fn paths(mesh: &Mesh) -> PathNormalisation {
    let steps = mesh.settings.config.path_normalization.as_ref().and_then(|it| it.normalization);
    let steps = steps.unwrap_or_default();
    let decode = steps == NormalizationType::DecodeAndMergeSlashes;
    PathNormalisation {
        normalise: steps != NormalizationType::None,
        merge_slashes: decode || steps == NormalizationType::MergeSlashes,
        escaped_slashes: if decode { EscapedSlashes::UnescapeAndForward } else { EscapedSlashes::Keep },
    }
}

/// The frame of a route configuration with its virtual hosts, which come one by one.
fn table(resources: &Resources, name: &str, body: &[u8]) -> Result<Arc<RouteTable>, String> {
    let frame = pb::RouteConfiguration::decode(body).map_err(|error| error.to_string())?;
    let compiled = config::route_table(&frame).map_err(|error| format!("{name}: {error}"))?;
    let mut hosts = Vec::new();
    for one in resources.with_prefix(ResourceType::VirtualHost, &format!("{name}/")) {
        let host = pb::VirtualHost::decode(&*one.body).map_err(|error| error.to_string())?;
        let host = config::virtual_host(&host).map_err(|error| format!("{}: {error}", one.name))?;
        hosts.push(Arc::new(host));
    }
    compiled.table.with_hosts(hosts, &[]).map(Arc::new).map_err(|error| format!("{name}: {error}"))
}

fn config_of(metadata: Option<&core::Metadata>) -> Option<String> {
    let istio = metadata?.filter_metadata.get("istio")?;
    match istio.fields.get("config")?.kind.as_ref()? {
        Kind::StringValue(path) => Some(short(path)),
        _ => None,
    }
}

/// `shop/reviews` of `/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews`.
fn short(path: &str) -> String {
    let words: Vec<&str> = path.split('/').collect();
    format!("{}/{}", words[5], words[7])
}

fn head(request: &Request) -> Head {
    let mut builder = http::Request::builder().method(request.method.as_str());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let uri = http::Uri::builder()
        .scheme(request.scheme())
        .authority(request.authority())
        .path_and_query(request.path.as_str())
        .build()
        .unwrap();
    let (parts, ()) = builder.uri(uri).body(()).unwrap().into_parts();
    Head::of(parts, request.tls).unwrap()
}
