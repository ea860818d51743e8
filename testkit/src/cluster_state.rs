//! The objects of the local mesh, as the API server would hold them, written to the control plane's folder.
//!
//! In: YAML documents. Out: one file for each object (written whole, then renamed into place), service addresses, and
//! the hosts file that stands in for cluster DNS.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::endpoints::slices;
use crate::network::{Addresses, HOST};

/// Kind, namespace, name.
type Key = (String, String, String);

/// Everything that was applied.
#[derive(Debug)]
pub(crate) struct ClusterState {
    folder: PathBuf,
    objects: BTreeMap<Key, Value>,
    service_addresses: Addresses,
    generation: u64,
}

impl ClusterState {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            objects: BTreeMap::new(),
            service_addresses: Addresses::services(),
            generation: 0,
        })
    }

    /// Adds or replaces every object of a YAML text, as `kubectl apply -f` would.
    pub(crate) fn apply(&mut self, yaml: &str) -> Result<Vec<Value>> {
        let documents = parse(yaml)?;
        for document in &documents {
            self.put(document.clone())?;
        }
        self.write_endpoints()?;
        Ok(documents)
    }

    /// Adds or replaces one object.
    pub(crate) fn put(&mut self, mut object: Value) -> Result<()> {
        let key = key(&object)?;
        self.complete(&key, &mut object)?;
        self.write(&key, &object)?;
        self.objects.insert(key, object);
        Ok(())
    }

    /// What the API server fills in: identity, age, and a Service's address.
    fn complete(&mut self, key: &Key, object: &mut Value) -> Result<()> {
        self.generation += 1;
        let before = self.objects.get(key);
        let kept = |pointer: &str| before.and_then(|before| before.pointer(pointer)).cloned();
        let created = kept("/metadata/creationTimestamp").unwrap_or_else(|| {
            json!(format!(
                "2026-01-01T{:02}:{:02}:{:02}Z",
                self.generation / 3600 % 24,
                self.generation / 60 % 60,
                self.generation % 60
            ))
        });
        let uid = kept("/metadata/uid").unwrap_or_else(|| json!(format!("local-{}", self.generation)));
        let address = match kept("/spec/clusterIP") {
            Some(address) => address,
            None if key.0 == "Service" => json!(self.service_addresses.next()?.to_string()),
            None => Value::Null,
        };
        let meta = object
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
            .context("an object without metadata")?;
        if key.1.is_empty() {
            meta.remove("namespace")
        } else {
            meta.insert("namespace".into(), json!(key.1))
        };
        meta.insert("uid".into(), uid);
        meta.insert("resourceVersion".into(), json!(self.generation.to_string()));
        meta.insert("generation".into(), json!(self.generation));
        meta.entry("creationTimestamp").or_insert(created);
        if key.0 == "Service" {
            let spec =
                object.get_mut("spec").and_then(Value::as_object_mut).context("a Service without spec")?;
            spec.entry("clusterIP").or_insert(address);
        }
        Ok(())
    }

    /// Removes one object; it is no error if there is none.
    pub(crate) fn delete(&mut self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        if self.objects.remove(&key).is_some() {
            std::fs::remove_file(self.path(&key))?;
        }
        self.write_endpoints()
    }

    /// The objects of one kind.
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |(key, _)| key.0 == kind).map(|(_, object)| object)
    }

    /// One object.
    pub(crate) fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned()))
    }

    /// The `data` of the ConfigMaps in one namespace, by name.
    pub(crate) fn config_maps(&self, namespace: &str) -> BTreeMap<String, BTreeMap<String, String>> {
        let of_namespace = self.objects.iter().filter(|(key, _)| key.0 == "ConfigMap" && key.1 == namespace);
        of_namespace
            .map(|(key, object)| {
                let data = object.get("data").and_then(Value::as_object).into_iter().flatten();
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (key.2.clone(), data.map(|(name, value)| (name.clone(), text(value))).collect())
            })
            .collect()
    }

    /// Rewrites the EndpointSlices of every Service that selects pods.
    pub(crate) fn write_endpoints(&mut self) -> Result<()> {
        let wanted = slices(self.of_kind("Service"), self.of_kind("Pod"));
        for slice in wanted {
            let key = key(&slice)?;
            let same = self.objects.get(&key).is_some_and(|held| {
                held.get("endpoints") == slice.get("endpoints") && held.get("ports") == slice.get("ports")
            });
            if !same {
                self.put(slice)?;
            }
        }
        Ok(())
    }

    /// Cluster DNS as a hosts file, for a pod in `namespace`.
    pub(crate) fn hosts(&self, namespace: &str) -> String {
        let mut hosts = format!(
            "127.0.0.1 localhost\n{HOST} istiod.istio-system.svc istiod.istio-system.svc.cluster.local\n"
        );
        for service in self.of_kind("Service") {
            let text = |pointer: &str| service.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (name, home, address) =
                (text("/metadata/name"), text("/metadata/namespace"), text("/spec/clusterIP"));
            let short = if home == namespace { name } else { "" };
            let addresses = match address {
                "None" => self.endpoints(home, name),
                "" => Vec::new(),
                one => vec![one],
            };
            for address in addresses {
                let _ = writeln!(
                    hosts,
                    "{address} {name}.{home}.svc.cluster.local {name}.{home}.svc {name}.{home} {short}"
                );
            }
        }
        hosts
    }

    /// Addresses of a headless Service, which are what its name means.
    fn endpoints(&self, namespace: &str, service: &str) -> Vec<&str> {
        let slice = self.get("EndpointSlice", namespace, &format!("{service}-local"));
        let endpoints = slice.and_then(|slice| slice["endpoints"].as_array()).into_iter().flatten();
        endpoints.filter_map(|endpoint| endpoint.pointer("/addresses/0")?.as_str()).collect()
    }

    fn path(&self, (kind, namespace, name): &Key) -> PathBuf {
        self.folder.join(format!("{kind}.{namespace}.{name}.yaml").to_lowercase())
    }

    fn write(&self, key: &Key, object: &Value) -> Result<()> {
        let path = self.path(key);
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, serde_json::to_string_pretty(object)?)?;
        std::fs::rename(&unfinished, &path).with_context(|| format!("writing {}", path.display()))
    }
}

/// The documents of a YAML text; empty ones are left out.
pub(crate) fn parse(yaml: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("the YAML cannot be read")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn key(object: &Value) -> Result<Key> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (Some(kind), Some(name)) = (text("/kind"), text("/metadata/name")) else {
        bail!("an object without kind or metadata.name: {object}");
    };
    let cluster_wide = matches!(kind, "Namespace" | "Node" | "IngressClass" | "MeshInstall");
    let namespace = if cluster_wide { "" } else { text("/metadata/namespace").unwrap_or("default") };
    Ok((kind.to_owned(), namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_keeps_its_address_when_it_is_applied_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut state = ClusterState::new(folder.path())?;
        let service = "{kind: Service, apiVersion: v1, metadata: {name: web}, spec: {ports: [{port: 80}]}}";
        state.apply(service)?;
        let first = state.get("Service", "default", "web").cloned();
        state.apply(service)?;
        let second = state.get("Service", "default", "web").cloned();
        let address =
            |object: Option<Value>| object.and_then(|object| object.pointer("/spec/clusterIP").cloned());
        assert_eq!(address(first), address(second));
        Ok(())
    }

    #[test]
    fn short_names_are_those_of_the_pods_own_namespace() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut state = ClusterState::new(folder.path())?;
        state.apply("{kind: Service, apiVersion: v1, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}")?;
        assert!(state.hosts("shop").contains("web.shop web\n"));
        assert!(state.hosts("other").contains("web.shop \n"));
        Ok(())
    }
}
