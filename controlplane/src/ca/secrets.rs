//! The CA of a control plane in Kubernetes: the Secret `cacerts` if somebody put one there, else `istio-ca-secret`, which the
//! first replica makes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use pki::{Ca, CaFiles};

use super::Authority;
use crate::error::StartError;

/// A CA handed over by its owner.
const PLUG_IN: &str = "cacerts";
/// The CA that we made.
const SELF_SIGNED: &str = "istio-ca-secret";

/// Loads the CA, making a self-signed root if there is none. Replicas that start together agree on one, because only one of
/// them can create the Secret.
pub(crate) async fn open(client: &Client, namespace: &str, organization: &str) -> Result<Ca, StartError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        for name in [PLUG_IN, SELF_SIGNED] {
            let found = api.get_opt(name).await.map_err(|e| failed("reading", name, e))?;
            if let Some(files) = found.as_ref().and_then(files_of) {
                let place = format!("Secret {namespace}/{name}");
                return Ca::load(&files, SystemTime::now())
                    .map_err(|source| StartError::Ca { place, source });
            }
        }
        let (_, files) = Ca::self_signed(organization, SystemTime::now())?;
        match api.create(&PostParams::default(), &secret_of(&files)).await {
            Ok(_) => tracing::info!(namespace, "made a self-signed root in Secret {SELF_SIGNED}"),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(failed("creating", SELF_SIGNED, error)),
        }
    }
}

fn failed(doing: &str, name: &str, error: kube::Error) -> StartError {
    StartError::Api { doing: format!("{doing} Secret {name}"), source: Box::new(error) }
}

/// Follows both Secrets: a rotated plug-in CA is used at once, a broken one is reported and changes nothing.
pub(crate) async fn follow(client: Client, namespace: String, authority: Arc<Authority>) {
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let watch = |name: &str| {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        watcher(api.clone(), config).default_backoff().touched_objects()
    };
    let mut both = futures::stream::select(watch(PLUG_IN).boxed(), watch(SELF_SIGNED).boxed());
    let mut plugged_in = false;
    loop {
        match both.try_next().await {
            Ok(Some(secret)) => {
                let deleted = secret.metadata.deletion_timestamp.is_some();
                let name = secret.name_any();
                plugged_in = if name == PLUG_IN { !deleted } else { plugged_in };
                if !deleted && (name == PLUG_IN || !plugged_in) {
                    take_over(&secret, &authority);
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "watching the CA's Secrets");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn take_over(secret: &Secret, authority: &Authority) {
    let Some(files) = files_of(secret) else { return };
    if let Err(error) = authority.replace(&files) {
        tracing::error!(secret = secret.name_any(), %error, "the CA's Secret is not usable; the CA in use stays");
    }
}

/// A Secret without a signing certificate holds no CA. Ours has the root in `ca-cert.pem` only, as istiod writes it.
fn files_of(secret: &Secret) -> Option<CaFiles> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| {
        let bytes = data.get(key).map(|ByteString(bytes)| bytes.as_slice()).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let ca_cert = text("ca-cert.pem");
    if ca_cert.is_empty() {
        return None;
    }
    let root = text("root-cert.pem");
    let root_cert = if root.is_empty() { ca_cert.clone() } else { root };
    Some(CaFiles { root_cert, ca_cert, ca_key: text("ca-key.pem"), cert_chain: text("cert-chain.pem") })
}

fn secret_of(files: &CaFiles) -> Secret {
    let entry = |key: &str, text: &str| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    Secret {
        metadata: ObjectMeta { name: Some(SELF_SIGNED.to_owned()), ..ObjectMeta::default() },
        type_: Some("istio.io/ca-root".to_owned()),
        data: Some(BTreeMap::from([
            entry("root-cert.pem", &files.root_cert),
            entry("ca-cert.pem", &files.ca_cert),
            entry("ca-key.pem", &files.ca_key),
            entry("cert-chain.pem", &files.cert_chain),
        ])),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_carries_a_ca_there_and_back() {
        let (ca, files) = Ca::self_signed("cluster.local", SystemTime::now()).unwrap();
        let read = files_of(&secret_of(&files)).unwrap();
        assert_eq!(Ca::load(&read, SystemTime::now()).unwrap().bundle(), ca.bundle());
    }

    #[test]
    fn the_secret_of_an_istiod_without_a_root_entry_is_understood() {
        let (_, files) = Ca::self_signed("cluster.local", SystemTime::now()).unwrap();
        let mut secret = secret_of(&files);
        secret.data.as_mut().unwrap().remove("root-cert.pem");
        assert_eq!(files_of(&secret).unwrap().root_cert, files.root_cert);
        assert!(files_of(&Secret::default()).is_none());
    }
}
