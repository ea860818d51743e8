//! Runs command lines as a person would type them, and keeps what they said.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

/// Variables that every command gets, such as KUBECONFIG and PATH.
pub type Environment = Vec<(String, String)>;

/// What a command said, and whether it succeeded.
#[derive(Debug)]
pub struct Said {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs `line` in bash, with `input` on stdin, and waits for its end.
pub async fn say(environment: &Environment, line: &str, input: Option<&str>) -> Result<Said> {
    let mut child = spawn(environment, line)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input closes it: its answer tells why.
        let _ = stdin.write_all(input.unwrap_or_default().as_bytes()).await;
    }
    let output = child.wait_with_output().await.with_context(|| format!("running `{line}`"))?;
    Ok(Said {
        success: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The same, for a command that must succeed; returns its standard output.
pub async fn run(environment: &Environment, line: &str, input: Option<&str>) -> Result<String> {
    let said = say(environment, line, input).await?;
    if !said.success {
        bail!("`{line}` failed: {}{}", said.err.trim(), said.out.trim());
    }
    Ok(said.out)
}

/// Starts `line` and leaves it running; it ends with the returned handle.
pub fn spawn(environment: &Environment, line: &str) -> Result<Child> {
    Command::new("bash")
        .args(["-c", line])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting `{line}`"))
}
