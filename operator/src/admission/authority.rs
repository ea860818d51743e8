//! The CA that all replicas sign their certificates with: a Secret in the operator's namespace.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Api, Client, api::PostParams};
use pki::{Ca, CaFiles};

use super::register::RegisterError;

/// Name of the Secret.
pub(super) const NAME: &str = "trysail-operator-webhook";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// A CA that ends sooner is replaced. Until each replica has taken the new one up, half a minute, the API server may trust
/// none of them; then a MeshInstall is judged after it is stored.
const REMAINING: Duration = Duration::from_hours(30 * 24);

/// The CA, made if there is none that can be used. Of replicas that start together, one makes it and the others take it.
pub(super) async fn open(
    client: &Client,
    namespace: &str,
    owner: &OwnerReference,
) -> Result<CaFiles, RegisterError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        let found =
            secrets.get_opt(NAME).await.map_err(RegisterError::api("reading the Secret of the CA"))?;
        let now = SystemTime::now();
        if let Some(files) = found.as_ref().and_then(|secret| usable(secret, now)) {
            return Ok(files);
        }
        let (_, files) = Ca::self_signed("trysail", now)?;
        let mut secret = secret_of(&files, owner);
        let written = match found {
            None => secrets.create(&PostParams::default(), &secret).await,
            Some(found) => {
                secret.metadata.resource_version = found.metadata.resource_version;
                secrets.replace(NAME, &PostParams::default(), &secret).await
            }
        };
        match written {
            Ok(_) => {
                tracing::info!(namespace, "made a CA for the webhook in Secret {NAME}");
                return Ok(files);
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(RegisterError::api("writing the Secret of the CA")(error)),
        }
    }
}

fn usable(secret: &Secret, now: SystemTime) -> Option<CaFiles> {
    let text = |key: &str| {
        let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.clone()).ok()
    };
    let certificate = text(CERTIFICATE)?;
    let files = CaFiles {
        root_cert: certificate.clone(),
        ca_cert: certificate,
        ca_key: text(KEY)?,
        cert_chain: String::new(),
    };
    match Ca::load(&files, now) {
        Ok(ca) => (ca.not_after() > now + REMAINING).then_some(files),
        Err(error) => {
            tracing::warn!(%error, "Secret {NAME} holds no CA that can be used; it is replaced");
            None
        }
    }
}

fn secret_of(files: &CaFiles, owner: &OwnerReference) -> Secret {
    let entry = |key: &str, text: &str| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some(super::register::labels()),
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([entry(CERTIFICATE, &files.ca_cert), entry(KEY, &files.ca_key)])),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_used_until_a_month_before_its_end() {
        let now = SystemTime::now();
        let (ca, files) = Ca::self_signed("trysail", now).unwrap();
        let mut secret = secret_of(&files, &OwnerReference::default());
        assert_eq!(usable(&secret, now).as_ref(), Some(&files));
        assert_eq!(usable(&secret, ca.not_after() - REMAINING), None);
        secret.data.as_mut().unwrap().remove(KEY);
        assert_eq!(usable(&secret, now), None);
    }
}
