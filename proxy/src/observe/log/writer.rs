//! Writes log lines to files, each from a thread of its own.
//!
//! What waits is bounded; beyond that lines are dropped and counted. A file that was moved away is opened again by
//! its path.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// Bytes that may wait for one file.
const WAITING: usize = 4 << 20;
/// Between looks at whether the file is still where its path says.
const REOPEN: Duration = Duration::from_secs(10);

/// All files.
#[derive(Debug, Default)]
pub struct Writers {
    files: Mutex<HashMap<Arc<str>, Arc<Queue>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
}

/// What waits for one file.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<Vec<u8>>,
    size: usize,
    lines: u64,
    writing: bool,
    failed: bool,
}

impl Writers {
    /// Hands `count` lines on. Never waits for the file.
    pub(super) fn write(&self, path: &Arc<str>, lines: Vec<u8>, count: u64) {
        let queue = self.queue(path);
        let mut waiting = queue.waiting.lock();
        if waiting.failed || waiting.size + lines.len() > WAITING {
            self.counts.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        }
        waiting.size += lines.len();
        waiting.lines += count;
        waiting.bytes.push(lines);
        queue.more.notify_one();
    }

    /// Lines written and lines dropped.
    pub fn lines(&self) -> (u64, u64) {
        (self.counts.written.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }

    /// Waits until all that was handed on is written, but not for long.
    pub fn flush(&self) {
        let queues: Vec<_> = self.files.lock().values().cloned().collect();
        for queue in queues {
            let mut waiting = queue.waiting.lock();
            while (waiting.size > 0 || waiting.writing) && !waiting.failed {
                if queue.done.wait_for(&mut waiting, Duration::from_secs(1)).timed_out() {
                    break;
                }
            }
        }
    }

    fn queue(&self, path: &Arc<str>) -> Arc<Queue> {
        let mut files = self.files.lock();
        if let Some(queue) = files.get(path) {
            return queue.clone();
        }
        let queue = Arc::new(Queue::default());
        files.insert(path.clone(), queue.clone());
        let (path, counts, shared) = (path.clone(), self.counts.clone(), queue.clone());
        let thread = thread::Builder::new().name("access-log".into());
        if let Err(error) = thread.spawn(move || run(&path, &shared, &counts)) {
            tracing::error!(%error, "no thread for the access log; its lines are dropped");
            queue.waiting.lock().failed = true;
        }
        queue
    }
}

fn run(path: &str, queue: &Queue, counts: &Counts) {
    let mut target = Target::new(path);
    loop {
        let (bytes, lines) = {
            let mut waiting = queue.waiting.lock();
            waiting.writing = false;
            queue.done.notify_all();
            while waiting.bytes.is_empty() {
                queue.more.wait(&mut waiting);
            }
            waiting.writing = true;
            waiting.size = 0;
            (std::mem::take(&mut waiting.bytes), std::mem::take(&mut waiting.lines))
        };
        let counter = match target.write(&bytes) {
            Ok(()) => &counts.written,
            Err(error) => {
                tracing::warn!(%error, path, "access log lines are lost");
                &counts.dropped
            }
        };
        counter.fetch_add(lines, Ordering::Relaxed);
    }
}

/// A file, or one of the standard streams.
enum Target<'a> {
    Stdout,
    Stderr,
    File { path: &'a str, open: Option<File>, checked: std::time::Instant },
}

impl<'a> Target<'a> {
    fn new(path: &'a str) -> Self {
        match path {
            "/dev/stdout" => Self::Stdout,
            "/dev/stderr" => Self::Stderr,
            path => Self::File { path, open: None, checked: std::time::Instant::now() },
        }
    }

    fn write(&mut self, all: &[Vec<u8>]) -> io::Result<()> {
        match self {
            Self::Stdout => write_all(&mut io::stdout().lock(), all),
            Self::Stderr => write_all(&mut io::stderr().lock(), all),
            Self::File { path, open, checked } => {
                if checked.elapsed() >= REOPEN {
                    *checked = std::time::Instant::now();
                    *open = open.take().filter(|file| is_at(file, path));
                }
                if open.is_none() {
                    *open = Some(OpenOptions::new().create(true).append(true).open(*path)?);
                }
                match open {
                    Some(file) => write_all(file, all),
                    None => Ok(()),
                }
            }
        }
    }
}

fn write_all(target: &mut (impl Write + ?Sized), all: &[Vec<u8>]) -> io::Result<()> {
    for lines in all {
        target.write_all(lines)?;
    }
    target.flush()
}

/// Whether the open file is the one at its path.
fn is_at(file: &File, path: &str) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}
