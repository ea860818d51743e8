//! Which files of a folder changed, from the kernel.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::sync::mpsc;

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// These files were written, moved in, moved out or removed.
    Files(BTreeSet<PathBuf>),
    /// Folders came or went, or events were lost: look at everything.
    Folders,
}

type Batch = io::Result<Vec<InotifyEvent>>;

/// Watches a folder and the folders in it.
pub(super) struct FolderWatch {
    inotify: Arc<Inotify>,
    events: mpsc::Receiver<Batch>,
    folders: HashMap<WatchDescriptor, PathBuf>,
}

impl FolderWatch {
    /// The folder must exist.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        std::fs::read_dir(root)?;
        let inotify = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?);
        let (sender, events) = mpsc::channel(64);
        let reader = inotify.clone();
        std::thread::Builder::new().name("folder".to_owned()).spawn(move || read(&reader, &sender))?;
        Ok(Self { inotify, events, folders: HashMap::new() })
    }

    /// Watches the folder and those in it, and lists their files. A folder is watched before it is read, so that nothing
    /// is missed in between.
    pub(super) fn add_all(&mut self, folder: &Path, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        // A file that is still being written is not read: only its closing counts.
        let wanted = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_ONLYDIR;
        let descriptor = self.inotify.add_watch(folder, wanted)?;
        self.folders.insert(descriptor, folder.to_owned());
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            // Follows links, as a mounted ConfigMap needs; the kubelet's own entries begin with two dots.
            let inner = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
            if path.is_dir() && !inner {
                self.add_all(&path, files)?;
            } else if path.is_file() {
                files.insert(path);
            }
        }
        Ok(())
    }

    /// Waits for the next change.
    pub(super) async fn next(&mut self) -> io::Result<Changed> {
        loop {
            let batch =
                self.events.recv().await.ok_or_else(|| io::Error::other("the watching thread has ended"))?;
            match self.judge(&batch?) {
                Changed::Files(files) if files.is_empty() => {}
                changed => return Ok(changed),
            }
        }
    }

    fn judge(&mut self, events: &[InotifyEvent]) -> Changed {
        let mut files = BTreeSet::new();
        for event in events {
            let links = event.name.as_ref().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.folders.remove(&event.wd);
                return Changed::Folders;
            }
            if links || event.mask.intersects(AddWatchFlags::IN_ISDIR | AddWatchFlags::IN_Q_OVERFLOW) {
                return Changed::Folders;
            }
            // A new file is looked at when it is closed; a new link has no closing.
            if let (Some(folder), Some(name)) = (self.folders.get(&event.wd), &event.name) {
                let path = folder.join(name);
                let created = event.mask.contains(AddWatchFlags::IN_CREATE);
                if !created || path.is_symlink() {
                    files.insert(path);
                }
            }
        }
        Changed::Files(files)
    }
}

/// Removing a watch makes an event, by which the reading thread notices that nobody listens any more.
impl Drop for FolderWatch {
    fn drop(&mut self) {
        self.events.close();
        for descriptor in self.folders.keys() {
            // Fails for folders that are gone, which has made an event too.
            let _ = self.inotify.rm_watch(*descriptor);
        }
    }
}

/// Hands on what the kernel says until nobody listens.
fn read(inotify: &Inotify, sender: &mpsc::Sender<Batch>) {
    loop {
        let batch = match inotify.read_events() {
            Err(Errno::EINTR) => continue,
            other => other.map_err(io::Error::from),
        };
        let failed = batch.is_err();
        if sender.blocking_send(batch).is_err() || failed {
            return;
        }
    }
}
