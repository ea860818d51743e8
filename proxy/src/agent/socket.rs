//! The Unix socket: made with its folder, taken over from a process that is gone, removed at the end.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

/// Owner and group: the folder is the pod's own, and Envoy may run as another user of the same group.
const MODE: u32 = 0o660;

/// Why the socket can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error("another process serves {0}; end it, or choose another --sds-socket")]
    InUse(PathBuf),
    /// The system said no.
    #[error(
        "cannot listen on {path}: {source}; the folder must be writable and the path at most 107 bytes long"
    )]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Removes the socket when it is dropped.
#[derive(Debug)]
pub(super) struct Owned(PathBuf);

impl Drop for Owned {
    fn drop(&mut self) {
        // It may be gone with its folder already.
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(super) fn listen(path: &Path) -> Result<(UnixListenerStream, Owned), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(SocketError::InUse(path.to_owned()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).map_err(failed)?;
    Ok((UnixListenerStream::new(listener), Owned(path.to_owned())))
}
