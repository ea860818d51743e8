//! A mesh from files, without a cluster.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use model::{Key, Kind, Mesh, Store, yaml};
use serde_json::Value;

use super::workload::{Injected, pod};

/// Reads files, folders with everything below them, or `-`. Objects without a namespace are in `namespace`.
///
/// # Errors
/// Names the file and object that can't be used.
pub fn mesh(paths: &[PathBuf], namespace: &str) -> Result<Arc<Mesh>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    let mut all: Vec<(PathBuf, Value)> = Vec::new();
    for file in files {
        let text = crate::commands::read(&file)?;
        for document in yaml::split(&text) {
            let values =
                yaml::values(document).map_err(|problem| anyhow!("{}: {problem}", file.display()))?;
            all.extend(values.into_iter().map(|value| (file.clone(), value)));
        }
    }
    let mut injected = Injected::default();
    for (_, value) in &mut all {
        settle(value, namespace);
        injected.note(value);
    }
    let mut store = Store::new("cluster.local", "Kubernetes");
    let mut known: BTreeMap<Key, PathBuf> = BTreeMap::new();
    for (file, value) in all {
        let value = pod(&value, &injected).unwrap_or(value);
        let object = yaml::object(value).map_err(|(_, problem)| anyhow!("{}: {problem}", file.display()))?;
        let Some(object) = object else { continue };
        // The first counts, as in a folder that the control plane reads.
        match known.entry(object.key()) {
            Entry::Occupied(first) => {
                eprintln!(
                    "left out: {} of {}; it is in {} too",
                    first.key(),
                    file.display(),
                    first.get().display()
                );
            }
            Entry::Vacant(free) => {
                free.insert(file);
                store.apply(object.into());
            }
        }
    }
    Ok(store.mesh())
}

/// Files below a folder in order of their names; a file that is named itself may be called anything.
fn collect(path: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    if path.as_os_str() == "-" || !path.is_dir() {
        into.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
    let mut entries: Vec<PathBuf> =
        entries.collect::<std::io::Result<Vec<_>>>()?.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    let before = into.len();
    for entry in entries {
        let known = entry.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if entry.is_dir() || known {
            collect(&entry, into)?;
        }
    }
    if into.len() == before && into.is_empty() {
        bail!("{} has no .yaml, .yml or .json files", path.display());
    }
    Ok(())
}

fn settle(object: &mut Value, namespace: &str) {
    let cluster_wide =
        object["kind"].as_str().and_then(Kind::named).is_some_and(|kind| !kind.is_namespaced());
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && !cluster_wide
    {
        metadata.entry("namespace").or_insert_with(|| namespace.into());
    }
}
