//! A pod's volumes as folders, and the mounts that put them where its containers look.
//!
//! In: the pod's `volumes` and `volumeMounts`. Out: folders under the pod's own folder, and a shell script of mounts to
//! run inside the pod's mount namespace. All containers of a pod share one view of the file system here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Pod, Volume};

use crate::pod::Facts;

/// What volumes are filled with besides the pod itself.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    /// ConfigMaps by name.
    pub(crate) config_maps: &'a BTreeMap<String, BTreeMap<String, String>>,
    /// The pod's service-account token for the CA.
    pub(crate) token: &'a str,
}

/// Fills the folders and returns the script that mounts them.
pub(crate) fn prepare(pod: &Pod, facts: &Facts, folder: &Path, sources: &Sources<'_>) -> Result<String> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let mut folders = BTreeMap::new();
    for volume in spec.volumes.iter().flatten() {
        let path = folder.join("volumes").join(&volume.name);
        std::fs::create_dir_all(&path)?;
        fill(volume, &path, facts, sources).with_context(|| format!("volume {}", volume.name))?;
        folders.insert(volume.name.as_str(), path);
    }
    let mut script = base_mounts(folder)?;
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut mounted: BTreeMap<&str, &str> = BTreeMap::new();
    for mount in containers.flat_map(|container| container.volume_mounts.iter().flatten()) {
        let Some(source) = folders.get(mount.name.as_str()) else {
            bail!("volumeMount {} names no volume", mount.name);
        };
        match mounted.insert(&mount.mount_path, &mount.name) {
            Some(other) if other != mount.name => {
                bail!("{} and {other} are both mounted at {}", mount.name, mount.mount_path)
            }
            Some(_) => continue,
            None => {}
        }
        bind(&mut script, source, &mount.mount_path)?;
    }
    Ok(script)
}

/// Writable layers over what the host has, so that a mount point can be made anywhere a pod needs one.
fn base_mounts(folder: &Path) -> Result<String> {
    let mut script = String::from("set -e\nmount -t tmpfs tmpfs /run\nmkdir -p /run/secrets /run/lock\n");
    for (name, target) in [("etc", "/etc"), ("lib", "/var/lib")] {
        let (upper, work) = (folder.join(name).join("upper"), folder.join(name).join("work"));
        std::fs::create_dir_all(&upper)?;
        std::fs::create_dir_all(&work)?;
        writeln!(
            script,
            "mount -t overlay -o lowerdir={target},upperdir={},workdir={} overlay {target}",
            upper.display(),
            work.display()
        )?;
    }
    writeln!(script, "mount --bind {} /etc/hosts", folder.join("hosts").display())?;
    // Nobody answers for names that are not in the file, and nobody waits for that: the pod's own port is closed.
    script.push_str("rm -f /etc/resolv.conf\necho 'nameserver 127.0.0.1' > /etc/resolv.conf\n");
    Ok(script)
}

fn bind(script: &mut String, source: &Path, target: &str) -> Result<()> {
    let roots = ["/run/", "/var/run/", "/etc/", "/var/lib/", "/tmp/"];
    if !roots.iter().any(|root| target.starts_with(root)) || target.contains(['\'', '\n']) {
        bail!("mountPath {target}: the local mesh mounts below {} only", roots.join(", "));
    }
    writeln!(script, "mkdir -p '{target}'\nmount --bind {} '{target}'", source.display())?;
    Ok(())
}

fn fill(volume: &Volume, path: &Path, facts: &Facts, sources: &Sources<'_>) -> Result<()> {
    if let Some(map) = &volume.config_map {
        return config_map(&map.name, map.optional, path, sources);
    }
    if let Some(downward) = &volume.downward_api {
        for item in downward.items.iter().flatten() {
            let field = item.field_ref.as_ref().map_or("", |reference| reference.field_path.as_str());
            std::fs::write(path.join(&item.path), facts.field(field).unwrap_or_default())?;
        }
    }
    for projection in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        if let Some(token) = &projection.service_account_token {
            std::fs::write(path.join(&token.path), sources.token)?;
        }
        if let Some(map) = &projection.config_map {
            config_map(&map.name, map.optional, path, sources)?;
        }
    }
    if volume.empty_dir.is_some() {
        open_to_all(path)?;
    }
    Ok(())
}

fn config_map(name: &str, optional: Option<bool>, path: &Path, sources: &Sources<'_>) -> Result<()> {
    match sources.config_maps.get(name) {
        Some(data) => {
            for (key, value) in data {
                std::fs::write(path.join(key), value)?;
            }
            Ok(())
        }
        None if optional == Some(true) => Ok(()),
        None => bail!("ConfigMap {name} does not exist"),
    }
}

/// As the kubelet makes an emptyDir: any user of the pod may write there.
pub(crate) fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?)
}

/// The folder that belongs to one pod.
pub(crate) fn folder(root: &Path, namespace: &str, name: &str) -> PathBuf {
    root.join("pods").join(format!("{namespace}.{name}"))
}
