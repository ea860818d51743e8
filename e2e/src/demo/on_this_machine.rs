//! The demo as the local mesh, for machines where no cluster can be started: pods
//! are network namespaces, containers are processes, and it ends with the program.

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

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

/// What the local mesh runs besides our own programs, each with Debian's package of it.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("nft", "nftables"), ("unshare", "util-linux"), ("nsenter", "util-linux")];
/// Bit of the capability to mount and to make namespaces, in `/proc/self/status`.
const CAP_SYS_ADMIN: u32 = 21;

/// Why it is no use to try and start a cluster here, if so. What else may be in the way shows when it is tried.
pub(super) fn obstacle() -> Option<String> {
    if !is_root() {
        return Some("starting a Kubernetes node needs root".to_owned());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if lacks_capability(&status, CAP_SYS_ADMIN) {
        return Some("starting a Kubernetes node needs CAP_SYS_ADMIN, which this container lacks".to_owned());
    }
    let built = Path::new("/var/tmp/trysail-cluster/ready").exists();
    if !built && !found("go", &search_path()) && !found("apt-get", &search_path()) {
        return Some("building Kubernetes needs Go, or apt to install it".to_owned());
    }
    None
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

fn lacks_capability(status: &str, bit: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << bit) == 0)
}

/// PATH, with the folders of tools for administrators, which others often lack.
fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

fn found(program: &str, path: &OsStr) -> bool {
    env::split_paths(path).any(|folder| folder.join(program).is_file())
}

/// The tools that are not on the path, and the packages that have them.
fn missing(path: &OsStr) -> Option<(String, String)> {
    let missing: Vec<_> = TOOLS.iter().filter(|(program, _)| !found(program, path)).collect();
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: BTreeSet<_> = missing.iter().map(|(_, package)| *package).collect();
    let packages: Vec<_> = packages.into_iter().collect();
    (!missing.is_empty()).then(|| (programs.join(", "), packages.join(" ")))
}

/// Installs what the local mesh needs where that is possible, else says what to install.
async fn have_tools(path: &OsStr) -> Result<()> {
    if missing(path).is_some() && is_root() && found("apt-get", path) {
        let tools = tokio::process::Command::new(root().join("scripts/tools")).arg("--mesh").status().await;
        tools.context("running scripts/tools")?; // whether it helped is seen below
    }
    if let Some((programs, packages)) = missing(path) {
        bail!("the local mesh needs {programs}; please install {packages} (Debian's names)");
    }
    may_make_namespaces(path).await
}

/// Tries what the local mesh begins with.
async fn may_make_namespaces(path: &OsStr) -> Result<()> {
    let mut unshare = tokio::process::Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let all = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "true"];
    let tried = unshare.args(all).env("PATH", path).output().await.context("running unshare")?;
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr);
        bail!(
            "the local mesh is made of namespaces, which this machine refuses ({}); \
             docs/kind.md has the way with Docker",
            why.trim()
        );
    }
    Ok(())
}

/// Builds what the local mesh runs, and starts this program again as the mesh.
pub(super) async fn up(why: &str) -> Result<ExitCode> {
    println!("The local mesh instead of a cluster: {why}.");
    let path = search_path();
    have_tools(&path).await?;
    let images = root().join("e2e/images");
    let status = tokio::process::Command::new(&images).arg("compile").status().await;
    if !status.with_context(|| format!("running {}", images.display()))?.success() {
        bail!("the binaries were not built");
    }
    let program = env::current_exe().context("finding this program")?;
    let status = tokio::process::Command::new(program).arg(LOCAL).env("PATH", path).status().await;
    let status = status.context("starting the local mesh")?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Runs in namespaces of its own.
pub(super) fn inside() -> ExitCode {
    let outside = || Ok(());
    enter(outside, || {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_tools_are_named_with_their_packages() {
        let (programs, packages) = missing(OsStr::new("/nowhere")).unwrap();
        assert_eq!(programs, "ip, nft, unshare, nsenter");
        assert_eq!(packages, "iproute2 nftables util-linux");
        let folder = env::temp_dir().join(format!("trysail-tools-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (program, _) in TOOLS {
            std::fs::write(folder.join(program), "").unwrap();
        }
        assert_eq!(missing(folder.as_os_str()), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_container_without_the_right_to_mount_is_seen() {
        assert!(lacks_capability("Name:\tx\nCapEff:\t00000000a80425fb\n", CAP_SYS_ADMIN));
        assert!(!lacks_capability("CapEff:\t000001ffffffffff\n", CAP_SYS_ADMIN));
        assert!(!lacks_capability("", CAP_SYS_ADMIN));
    }
}
