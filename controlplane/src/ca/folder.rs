//! The CA of a control plane without Kubernetes: a folder in the layout of the Secret `cacerts`, or only in memory.

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use pki::{Ca, CaFiles};

use crate::error::StartError;

const ROOT: &str = "root-cert.pem";
const CERT: &str = "ca-cert.pem";
const KEY: &str = "ca-key.pem";
const CHAIN: &str = "cert-chain.pem";

/// Loads the folder's CA; makes one there first if there is none.
pub(crate) fn open(folder: Option<&Path>, organization: &str) -> Result<Ca, StartError> {
    let now = SystemTime::now();
    let Some(folder) = folder else {
        return Ok(Ca::self_signed(organization, now)?.0);
    };
    let refused = |source| StartError::Ca { place: folder.display().to_string(), source };
    if let Some(files) = read(folder)? {
        return Ca::load(&files, now).map_err(refused);
    }
    let (ca, files) = Ca::self_signed(organization, now).map_err(refused)?;
    write(folder, &files)?;
    tracing::info!(folder = %folder.display(), "made a self-signed root");
    Ok(ca)
}

fn read(folder: &Path) -> Result<Option<CaFiles>, StartError> {
    let file = |name: &str| match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StartError::File { path: folder.join(name), source }),
    };
    let Some(ca_cert) = file(CERT)? else { return Ok(None) };
    Ok(Some(CaFiles {
        root_cert: file(ROOT)?.unwrap_or_default(),
        ca_cert,
        ca_key: file(KEY)?.unwrap_or_default(),
        cert_chain: file(CHAIN)?.unwrap_or_default(),
    }))
}

/// The signing certificate comes last: a folder that has it is complete.
fn write(folder: &Path, files: &CaFiles) -> Result<(), StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::File { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let all =
        [(KEY, &files.ca_key), (CHAIN, &files.cert_chain), (ROOT, &files.root_cert), (CERT, &files.ca_cert)];
    for (name, text) in all {
        let path = folder.join(name);
        write_private(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mode = if path.ends_with(KEY) { 0o600 } else { 0o644 };
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_ca() {
        let folder = std::env::temp_dir().join(format!("ca-{}", uuid::Uuid::new_v4()));
        let first = open(Some(&folder), "cluster.local").unwrap();
        let second = open(Some(&folder), "cluster.local").unwrap();
        assert_eq!(first.bundle(), second.bundle());
        std::fs::write(folder.join(KEY), "broken").unwrap();
        let error = open(Some(&folder), "cluster.local").unwrap_err().to_string();
        assert!(error.contains("ca-key.pem"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
