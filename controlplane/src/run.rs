//! Puts the parts together, starts them in the order in which they need each other, and stops them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use kube::Client;
use leader::Election;
use model::Store;
use pki::Ca;
use pki::tls::{ClientAuth, server_config};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webhook::inject::InjectContext;

use crate::ads::{AdsService, Context, Parts};
use crate::advice::{self, Advice};
use crate::auth::{Authenticator, TokenFile, TokenReviews, Tokens};
use crate::ca::{Authority, CaService, Validity};
use crate::config::Options;
use crate::error::StartError;
use crate::findings::Findings;
use crate::mesh::{Published, Publisher, Setup};
use crate::monitor::{Debug, Metrics, Pages, http_router, monitoring_router};
use crate::serve::{Patience, Port, Speaks};
use crate::source::folder::{self, Folder};
use crate::source::kubernetes::{
    Cluster, InjectionSettings, SecretAccess, SecretWatches, Tasks, follow_injection, of_revision,
};
use crate::source::{Events, Problems};
use crate::status::{self, Objects};
use crate::{addresses, ca, ingress, source};

/// A CSR with the longest chain of names is far below this.
const MAX_CSR_REQUEST: usize = 256 << 10;

/// Which replica writes. All revisions share it: they write the same objects.
const LEASE: &str = "istio-leader";

/// Where the control plane listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// xDS and CA without TLS.
    pub plaintext: SocketAddr,
    /// xDS and CA with TLS.
    pub secure: SocketAddr,
    /// Metrics, version, debug.
    pub monitoring: SocketAddr,
    /// Webhooks.
    pub webhook: SocketAddr,
    /// Readiness.
    pub http: SocketAddr,
}

/// A running control plane.
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    authority: Arc<Authority>,
    synced: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
    tasks: Tasks,
}

impl Running {
    /// The roots that workloads must trust, as PEM.
    pub fn root_pem(&self) -> String {
        self.authority.ca().bundle().to_pem()
    }

    /// Returns once every source has delivered what there was at the start.
    pub async fn synced(&self) {
        // Fails only when the publisher is gone; then nothing would ever be synced.
        let _ = self.synced.clone().wait_for(|synced| *synced).await;
    }

    /// Stops accepting, ends the streams, gives up leadership, and returns when all is quiet.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

/// What every part is built from.
struct Base {
    options: Options,
    /// None without Kubernetes.
    client: Option<Client>,
    metrics: Arc<Metrics>,
    problems: Arc<Problems>,
    objects: Arc<Objects>,
    tasks: Tasks,
}

/// Starts a control plane; it serves when this returns, and answers proxies once its sources are synced.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let client = match &options.config_dir {
        Some(_) => None,
        None => Some(connect(&options).await?),
    };
    let tasks = Tasks { tracker: TaskTracker::new(), stop: CancellationToken::new() };
    let base = Base {
        client,
        metrics: Arc::default(),
        problems: Arc::default(),
        objects: Arc::default(),
        tasks,
        options,
    };
    let authority = base.authority().await?;
    let authenticator = Arc::new(Authenticator::new(base.tokens()));
    let (published, events) = base.publish()?;
    let advice = Advice { mesh: published.mesh.clone(), synced: published.synced.clone() };
    let (stopping, stopping_seen) = watch::channel(false);
    let ports = Ports::open(&base.options, &authority).await?;
    let addresses = ports.addresses()?;
    let context = Context::new(Parts {
        views: published.views,
        mesh: published.mesh.clone(),
        authenticator: authenticator.clone(),
        secrets: base.secrets(&events),
        metrics: base.metrics.clone(),
        stop: base.tasks.stop.clone(),
        first_request: base.options.patience.first_request,
        pod_name: base.options.pod_name.clone(),
    });
    let debug = Debug {
        mesh: published.mesh.clone(),
        connections: context.connections.clone(),
        problems: base.problems.clone(),
    };
    let findings: Arc<Findings> = Arc::default();
    let sources = status::Sources {
        objects: base.objects.clone(),
        ledger: published.ledger,
        mesh: published.mesh.clone(),
        findings: findings.clone(),
        connections: context.connections.clone(),
    };
    let peers = status::Peers::new(sources.clone(), base.options.namespace.clone());
    let ca = CaService {
        authority: authority.clone(),
        authenticator: authenticator.clone(),
        mesh: published.mesh,
        validity: Validity { default: base.options.workload_ttl, max: base.options.max_workload_ttl },
        metrics: base.metrics.clone(),
    };
    base.tasks.run(advice::follow(advice.clone(), findings, base.problems.clone()));
    let pages = Pages {
        metrics: base.metrics.clone(),
        debug: Arc::new(debug),
        authenticator,
        synced: published.synced.clone(),
        stopping: stopping_seen,
    };
    ports.serve(
        Routers {
            discovery: discovery(context, ca).merge(status::router(peers)),
            pages,
            webhook: base.webhook(advice.clone()),
        },
        &base.tasks,
    );
    base.tasks.run(authority.clone().keep_server_certificate());
    base.lead(&authority, sources, published.synced.clone());
    tracing::info!(?addresses, version = env!("CARGO_PKG_VERSION"), "started");
    Ok(Running { addresses, authority, synced: published.synced, stopping, tasks: base.tasks })
}

async fn connect(options: &Options) -> Result<Client, StartError> {
    let failed = |e: &dyn std::fmt::Display| StartError::Cluster(e.to_string());
    let config = match &options.kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path).map_err(|e| failed(&e))?;
            kube::Config::from_custom_kubeconfig(file, &Default::default()).await.map_err(|e| failed(&e))?
        }
        None => kube::Config::infer().await.map_err(|e| failed(&e))?,
    };
    Client::try_from(config).map_err(|e| failed(&e))
}

fn discovery(context: Arc<Context>, ca: CaService) -> Router {
    let ca = pki::api::IstioCertificateServiceServer::new(ca).max_decoding_message_size(MAX_CSR_REQUEST);
    tonic::service::Routes::new(AdsService(context)).add_service(ca).into_axum_router()
}

impl Base {
    async fn authority(&self) -> Result<Arc<Authority>, StartError> {
        let options = &self.options;
        let ca: Ca = match &self.client {
            Some(client) => ca::secrets::open(client, &options.namespace, &options.domain).await?,
            None => ca::folder::open(options.ca_dir.as_deref(), &options.domain)?,
        };
        let authority = Authority::new(ca, options.dns_names(), self.metrics.clone())?;
        if let Some(client) = &self.client {
            self.tasks.run(ca::secrets::follow(client.clone(), options.namespace.clone(), authority.clone()));
        }
        Ok(authority)
    }

    fn tokens(&self) -> Tokens {
        match (&self.client, &self.options.token_file) {
            (Some(client), _) => Tokens::Review(TokenReviews::new(client.clone())),
            (None, Some(path)) => Tokens::File(TokenFile::new(path.clone())),
            (None, None) => Tokens::None,
        }
    }

    /// Starts the source and the thread that owns the mesh.
    fn publish(&self) -> Result<(Published, Events), StartError> {
        let (events, receiver) = source::channel();
        let sources = match (&self.client, &self.options.config_dir) {
            (Some(client), _) => self.cluster(client).watch(&events, &self.tasks),
            (None, Some(root)) => {
                let folder = Folder::open(root, self.problems.clone())?;
                self.tasks.run(folder.run(events.clone()));
                BTreeSet::from([folder::NAME])
            }
            (None, None) => return Err(StartError::Cluster("no cluster and no folder".to_owned())),
        };
        let store = Store::new(&self.options.domain, &self.options.cluster_id);
        let setup = Setup {
            store,
            events: receiver,
            sources,
            metrics: self.metrics.clone(),
            problems: self.problems.clone(),
            rule_hold: self.options.rule_hold,
        };
        let (publisher, published) = Publisher::new(setup);
        publisher.spawn(self.tasks.stop.clone()).map_err(|e| StartError::Cluster(e.to_string()))?;
        Ok((published, events))
    }

    fn cluster(&self, client: &Client) -> Cluster {
        Cluster {
            client: client.clone(),
            namespace: self.options.namespace.clone(),
            settings: of_revision("istio", &self.options.revision),
            problems: self.problems.clone(),
            objects: self.objects.clone(),
        }
    }

    fn secrets(&self, events: &Events) -> SecretAccess {
        let Some(client) = &self.client else { return SecretAccess::OwnNamespace };
        let watches = SecretWatches {
            client: client.clone(),
            events: events.clone(),
            problems: self.problems.clone(),
            tasks: self.tasks.clone(),
            watched: Arc::default(),
        };
        SecretAccess::reviewed(client.clone(), watches)
    }

    fn webhook(&self, advice: Advice) -> Router {
        let context: Arc<ArcSwap<InjectContext>> = Arc::default();
        if let Some(client) = &self.client {
            self.tasks.run(follow_injection(InjectionSettings {
                client: client.clone(),
                namespace: self.options.namespace.clone(),
                revision: self.options.revision.clone(),
                problems: self.problems.clone(),
                context: context.clone(),
            }));
        }
        webhook::router(webhook::WebhookState { context, metrics: self.metrics.webhook.clone() }, advice)
    }

    /// Takes part in the election, and does what only the leader does.
    fn lead(&self, authority: &Arc<Authority>, sources: status::Sources, synced: watch::Receiver<bool>) {
        let Some(client) = &self.client else { return };
        let election = Election {
            client: client.clone(),
            namespace: self.options.namespace.clone(),
            lease: LEASE,
            me: self.options.pod_name.clone(),
        };
        let (seat, election) = election.take_part(self.tasks.stop.clone().cancelled_owned());
        self.tasks.tracker.spawn(election);
        self.tasks.run(ca::roots::keep(client.clone(), authority.roots(), seat.clone()));
        self.tasks.run(ingress::keep(client.clone(), sources.mesh.clone(), seat.clone()));
        self.tasks.run(addresses::keep(client.clone(), sources.mesh.clone(), seat.clone()));
        let asker = status::Asker {
            authority: authority.clone(),
            namespace: self.options.namespace.clone(),
            me: self.options.pod_name.clone(),
            port: self.options.secure_address.port(),
        };
        self.tasks.run(status::keep(client.clone(), sources, asker, seat, synced));
    }
}

/// What the ports answer with.
struct Routers {
    discovery: Router,
    pages: Pages,
    webhook: Router,
}

/// All ports, opened together so that a busy one stops the start.
struct Ports {
    plaintext: Port,
    secure: Port,
    monitoring: Port,
    webhook: Port,
    http: Port,
    patience: Patience,
}

impl Ports {
    async fn open(options: &Options, authority: &Authority) -> Result<Self, StartError> {
        use Speaks::{Grpc, Http};
        let tls = |clients, alpn: &[&[u8]]| server_config(authority.server_identity(), clients, alpn);
        let (discovery, webhook) =
            (tls(ClientAuth::Optional, &[b"h2"])?, tls(ClientAuth::None, &[b"h2", b"http/1.1"])?);
        let patience = options.patience;
        let open = |name, speaks, address, tls| Port::open(name, speaks, address, tls, patience);
        Ok(Self {
            plaintext: open("plaintext discovery", Grpc, options.plaintext_address, None).await?,
            secure: open("discovery", Grpc, options.secure_address, Some(discovery)).await?,
            monitoring: open("monitoring", Http, options.monitoring_address, None).await?,
            webhook: open("webhooks", Http, options.webhook_address, Some(webhook)).await?,
            http: open("readiness", Http, options.http_address, None).await?,
            patience,
        })
    }

    fn addresses(&self) -> Result<Addresses, StartError> {
        Ok(Addresses {
            plaintext: self.plaintext.address()?,
            secure: self.secure.address()?,
            monitoring: self.monitoring.address()?,
            webhook: self.webhook.address()?,
            http: self.http.address()?,
        })
    }

    fn serve(self, routers: Routers, tasks: &Tasks) {
        let Routers { discovery, pages, webhook } = routers;
        let (discovery, webhook) =
            (self.patience.with_calls_of(discovery), self.patience.with_calls_of(webhook));
        let all = [
            (self.plaintext, discovery.clone()),
            (self.secure, discovery),
            (self.monitoring, monitoring_router(pages.clone())),
            (self.webhook, webhook),
            (self.http, http_router(pages)),
        ];
        for (port, router) in all {
            tasks.tracker.spawn(port.serve(router, tasks.stop.clone()));
        }
    }
}
