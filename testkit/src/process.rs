//! Processes that end with their owner, and a folder that does too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs a command to its end.
///
/// # Errors
/// Names the command, its exit status and what it printed to standard error.
pub(crate) fn check(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A running process whose output goes to a log file, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its output appended to `log`.
    ///
    /// # Errors
    /// When the log can't be opened or the program can't be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        // Programs of other users open it again as /dev/stdout.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// The process id, as this namespace numbers it. For a program started through `nsenter`, the program's own.
    pub fn id(&self) -> u32 {
        let started = self.child.id();
        let name = std::fs::read_to_string(format!("/proc/{started}/comm")).unwrap_or_default();
        if name.trim() != "nsenter" {
            return started;
        }
        let children = std::fs::read_to_string(format!("/proc/{started}/task/{started}/children"));
        children.ok().and_then(|ids| ids.split_whitespace().next()?.parse().ok()).unwrap_or(started)
    }

    /// What the process has printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `None` while it runs, else its exit status.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it is still running after `limit`, or fails; the message carries its output.
    pub async fn finish(mut self, limit: Duration) -> Result<String> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            match self.ended() {
                Some(status) if status.success() => return Ok(self.output()),
                Some(status) => bail!("{}: {status}: {}", self.name, self.output()),
                None if tokio::time::Instant::now() > deadline => {
                    bail!("{} still runs after {limit:?}: {}", self.name, self.output())
                }
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.id())?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).with_context(|| format!("ending {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder under the system's temporary directory, on a filesystem of its own, removed when dropped.
#[derive(Debug)]
pub struct TempFolder(tempfile::TempDir);

impl TempFolder {
    /// Makes the folder and mounts a tmpfs on it (overlays need an upper layer that isn't an overlay itself).
    ///
    /// # Errors
    /// When the mount is refused.
    pub fn mounted() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("trysail-").tempdir()?;
        check(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(folder.path()))?;
        Ok(Self(folder))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = check(Command::new("umount").arg("-l").arg(self.0.path()));
    }
}
