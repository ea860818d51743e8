//! Compiles Envoy's API to a descriptor set for `xds::json`; does nothing unless that feature is on.

#[cfg(not(feature = "json"))]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}

#[cfg(feature = "json")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    descriptors::write()
}

#[cfg(feature = "json")]
mod descriptors {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// What can occur in a configuration or its dump; the rest of Envoy's API are services and data formats.
    const ROOTS: [&str; 4] =
        ["envoy/config", "envoy/extensions", "envoy/admin/v3", "envoy/service/discovery/v3"];

    pub(super) fn write() -> Result<()> {
        let bundled = envoy_types_folder()?.join("proto");
        let includes: Vec<PathBuf> =
            std::fs::read_dir(&bundled)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        let api = bundled.join("data-plane-api");
        let mut files = Vec::new();
        for root in ROOTS {
            collect(&api.join(root), &mut files)?;
        }
        files.sort();
        let mut descriptors = protox::compile(files, includes)?;
        for file in &mut descriptors.file {
            file.source_code_info = None;
        }
        let out = PathBuf::from(std::env::var("OUT_DIR")?).join("envoy.desc");
        std::fs::write(out, prost::Message::encode_to_vec(&descriptors))?;
        Ok(())
    }

    /// The crate carries the protos it was generated from, so both always fit each other.
    fn envoy_types_folder() -> Result<PathBuf> {
        let metadata = Command::new(std::env::var("CARGO")?)
            .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
            .arg(Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
            .output()?;
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
        let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
        let package = packages.iter().find(|package| package["name"] == "envoy-types");
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let manifest = Path::new(manifest.ok_or("envoy-types is not a dependency")?);
        Ok(manifest.parent().ok_or("a manifest has a folder")?.to_owned())
    }

    fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                collect(&path, files)?;
            } else if path.extension().is_some_and(|end| end == "proto") {
                files.push(path);
            }
        }
        Ok(())
    }
}
