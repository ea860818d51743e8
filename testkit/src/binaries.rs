//! Which built program stands for which container image.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The environment variable that names a `trysail-proxy` of an earlier build, to measure beside the newest.
pub const BASELINE: &str = "TRYSAIL_BASELINE";
/// The name of the image that stands for it.
const BASELINE_IMAGE: &str = "proxyv2-baseline";

/// The folder with our built binaries.
#[derive(Debug, Clone)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// `TRYSAIL_BINARIES`, else the folder that the running program was built into.
    ///
    /// # Errors
    /// When the folder lacks one of ours; the message says how to build them.
    pub fn find() -> Result<Self> {
        let folder = match std::env::var_os("TRYSAIL_BINARIES") {
            Some(folder) => PathBuf::from(folder),
            None => {
                let program = std::env::current_exe()?;
                let folder = program.parent().unwrap_or(Path::new("/"));
                // Test programs lie one folder deeper, in deps/.
                if folder.ends_with("deps") { folder.join("..").canonicalize()? } else { folder.to_owned() }
            }
        };
        for name in ["trysail-controlplane", "trysail-proxy", "bookinfo", "echo"] {
            if !folder.join(name).is_file() {
                bail!(
                    "{} has no {name}; build the programs first: cargo build -p trysail-controlplane -p trysail-proxy -p trysail-samples",
                    folder.display()
                );
            }
        }
        Ok(Self(folder))
    }

    /// The path of one program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The program that an image starts: `docker.io/trysail/proxyv2:1` is `trysail-proxy`.
    ///
    /// # Errors
    /// When the image isn't one of ours.
    pub(crate) fn entrypoint(&self, image: &str) -> Result<PathBuf> {
        let name = image.rsplit('/').next().unwrap_or(image);
        let name = name.split([':', '@']).next().unwrap_or(name);
        match name {
            "proxyv2" => Ok(self.path("trysail-proxy")),
            BASELINE_IMAGE => match std::env::var_os(BASELINE) {
                Some(path) => Ok(PathBuf::from(path)),
                None => bail!("image {image}: {BASELINE} names no earlier proxy"),
            },
            "pilot" => Ok(self.path("trysail-controlplane")),
            "bookinfo" | "echo" => Ok(self.path(name)),
            _ => bail!("image {image}: the local mesh runs proxyv2, pilot, bookinfo and echo only"),
        }
    }
}
