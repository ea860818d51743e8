//! The demo as the local mesh, for machines where no cluster can be started: pods
//! are network namespaces, containers are processes, and it ends with the program.

use std::{env, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use ctl::demo::{
    Gateway, Page, bookinfo,
    metrics::{self, Sample},
    traffic,
};
use testkit::{LocalMesh, enter};

use crate::cluster::root;

/// The name of the command that [`up`] starts this program again with.
pub const LOCAL: &str = "demo-local";

const GATEWAY: &str = "istio-ingressgateway";

/// Why no cluster can be started here, if so.
pub(super) fn obstacle() -> Option<String> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root {
        return Some("starting a Kubernetes node needs root".to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let built = Path::new("/var/tmp/trysail-cluster/ready").exists();
    if !built && !found("go") && !found("apt-get") {
        return Some("building Kubernetes needs Go, or apt to install it".to_owned());
    }
    None
}

/// Builds what the local mesh runs, and starts this program again as the mesh.
pub(super) async fn up(why: &str) -> Result<ExitCode> {
    println!("The local mesh instead of a cluster: {why}.");
    let status = tokio::process::Command::new("cargo")
        .args(["build", "--quiet", "--profile", "quick-release"])
        .args(["-p", "trysail-controlplane", "-p", "trysail-proxy", "-p", "trysail-samples", "--bins"])
        .current_dir(root())
        .status()
        .await
        .context("running cargo")?;
    if !status.success() {
        bail!("cargo build failed");
    }
    let program = env::current_exe().context("finding this program")?;
    let status = tokio::process::Command::new(program).arg(LOCAL).status().await?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Runs in namespaces of its own.
pub(super) fn inside() -> ExitCode {
    enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(show())
    })
}

async fn show() -> Result<()> {
    let mut mesh = LocalMesh::start().await?;
    println!("Bookinfo and a gateway, each pod with a proxy");
    mesh.apply(include_str!("local_gateway.yaml")).await?;
    for (_, yaml) in bookinfo::FILES {
        mesh.apply(yaml).await?;
    }
    let address = mesh.pod("istio-system", GATEWAY)?.address().to_owned();
    let gateway = Gateway::at(&format!("http://{address}:8080"));
    println!("{} pages from {}{}", traffic::PAGES, gateway.url, traffic::PATH);
    let seen = traffic::send(&gateway).await?;
    let page = Page {
        place: "Bookinfo runs as processes of this machine, every pod a network namespace with a sidecar:"
            .to_owned(),
        pods: pods(&mesh),
        samples: samples(&mesh).await?,
        seen,
        next: vec![
            "make test                     # more of what a mesh does, in the same way".to_owned(),
            "docs/kind.md                  # the same on a Kubernetes, with Docker".to_owned(),
            "nothing to remove: this mesh ended with its command".to_owned(),
        ],
    };
    println!("\n{page}");
    Ok(())
}

fn pods(mesh: &LocalMesh) -> String {
    let mut lines = vec![format!("{:24}{}", "NAME", "ADDRESS")];
    lines.extend(mesh.pods().map(|pod| format!("{:24}{}", pod.name(), pod.address())));
    lines.join("\n")
}

async fn samples(mesh: &LocalMesh) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for pod in mesh.pods() {
        let url = format!("http://{}:15020/stats/prometheus", pod.address());
        let reply = testkit::get(&url).await?;
        samples.extend(metrics::requests(&reply.body));
    }
    Ok(samples)
}
