//! A folder of YAML as a source, of the same rank as Kubernetes: what is applied to a cluster can lie in it as it is.
//!
//! Files are followed by inotify. A file whose YAML is broken, or an object that is, is reported and changes nothing.

mod documents;
mod inotify;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Events, Problems, SourceEvent};
use crate::error::StartError;
use documents::Documents;
use inotify::{Changed, FolderWatch};

/// Name of this source where sources are listed.
pub(crate) const NAME: &str = "folder";
/// A file larger than this is not configuration.
const MAX_FILE: u64 = 64 << 20;
/// After a lost event, or a change of folders, everything is looked at again.
const RESCAN: Duration = Duration::from_millis(50);

/// The folder, watched but not read yet.
pub(crate) struct Folder {
    root: PathBuf,
    watch: FolderWatch,
    documents: Documents,
    problems: Arc<Problems>,
}

impl Folder {
    pub(crate) fn open(root: &Path, problems: Arc<Problems>) -> Result<Self, StartError> {
        let failed = |source| StartError::Folder { folder: root.to_owned(), source };
        let watch = FolderWatch::new(root).map_err(failed)?;
        Ok(Self { root: root.to_owned(), watch, documents: Documents::default(), problems })
    }

    /// Delivers what is there, then what changes.
    pub(crate) async fn run(mut self, events: Events) {
        let all = self.scan();
        if events.send(SourceEvent::SecretsKnown("*".to_owned())).await.is_err() {
            return;
        }
        if send(&events, all).await.is_err() || events.send(SourceEvent::Synced(NAME)).await.is_err() {
            return;
        }
        loop {
            let delivered = match self.watch.next().await {
                Ok(Changed::Files(paths)) => paths.iter().flat_map(|path| self.read(path)).collect(),
                Ok(Changed::Folders) => {
                    tokio::time::sleep(RESCAN).await;
                    self.scan()
                }
                Err(error) => {
                    self.problems.report(&self.root.to_string_lossy(), format!("cannot be watched: {error}"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.scan()
                }
            };
            if send(&events, delivered).await.is_err() {
                return;
            }
        }
    }

    /// Looks at every file, and at those that were there before and are not now.
    fn scan(&mut self) -> Vec<model::Event> {
        let mut found = BTreeSet::new();
        if let Err(error) = self.watch.add_all(&self.root, &mut found) {
            self.problems.report(&self.root.to_string_lossy(), format!("cannot be read: {error}"));
            return Vec::new();
        }
        found.retain(|path| is_configuration(path));
        let gone: Vec<PathBuf> =
            self.documents.files().filter(|path| !found.contains(*path)).cloned().collect();
        found.iter().chain(&gone).flat_map(|path| self.read(path)).collect()
    }

    fn read(&mut self, path: &Path) -> Vec<model::Event> {
        if !is_configuration(path) {
            return Vec::new();
        }
        let text = match load(path) {
            Ok(text) => text,
            Err(problem) => {
                self.problems.report(&path.to_string_lossy(), problem);
                return Vec::new();
            }
        };
        self.documents.update(path, text.as_deref(), &self.problems)
    }
}

/// The file's text; none when it is gone.
fn load(path: &Path) -> Result<Option<String>, String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
        Ok(metadata) if metadata.len() > MAX_FILE => {
            return Err(format!("{} bytes are more than the {MAX_FILE} that are read", metadata.len()));
        }
        Ok(_) => {}
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn is_configuration(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
    known && !hidden
}

async fn send(events: &Events, delivered: Vec<model::Event>) -> Result<(), ()> {
    if delivered.is_empty() {
        return Ok(());
    }
    events.send(SourceEvent::Objects(delivered, Instant::now())).await.map_err(drop)
}
