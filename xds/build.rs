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

    use protox::prost::Message as _;
    use protox::prost_reflect::prost_types::FileDescriptorSet;

    type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// What can occur in a configuration or its dump; the rest of Envoy's API are services and data formats.
    const ROOTS: [&str; 4] =
        ["envoy/config", "envoy/extensions", "envoy/admin/v3", "envoy/service/discovery/v3"];

    /// Packages that take part in the confusion of names described at `compile`, and that no mesh is configured with.
    const LEFT_OUT: [&str; 2] =
        ["envoy/extensions/config", "envoy/extensions/clusters/dynamic_forward_proxy"];

    pub(super) fn write() -> Result<()> {
        let bundled = envoy_types_folder()?.join("proto");
        let mut includes: Vec<PathBuf> =
            std::fs::read_dir(&bundled)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        includes.push(bundled.join("cel-spec/proto"));
        let api = bundled.join("data-plane-api");
        let mut files = Vec::new();
        for root in ROOTS {
            collect(&api.join(root), &mut files)?;
        }
        files.sort();
        let mut descriptors = compile(&files, &includes)?;
        for file in &mut descriptors.file {
            file.source_code_info = None;
        }
        let out = PathBuf::from(std::env::var("OUT_DIR")?).join("envoy.desc");
        std::fs::write(out, descriptors.encode_to_vec())?;
        Ok(())
    }

    /// The compiler resolves a relative name (`common.aws.v3.X`) against packages of every file that it has seen, where
    /// `protoc` looks only at imported ones; a file that fails for this reason compiles alone.
    fn compile(files: &[PathBuf], includes: &[PathBuf]) -> Result<FileDescriptorSet> {
        let mut together = protox::Compiler::new(includes)?;
        together.include_imports(true);
        let failed: Vec<_> = files.iter().filter(|file| together.open_file(file).is_err()).collect();
        let mut all = together.file_descriptor_set();
        for file in failed {
            let mut alone = protox::Compiler::new(includes)?;
            alone.include_imports(true).open_file(file)?;
            for descriptor in alone.file_descriptor_set().file {
                if all.file.iter().all(|known| known.name != descriptor.name) {
                    all.file.push(descriptor);
                }
            }
        }
        Ok(all)
    }

    /// The crate carries the protos it was generated from, so both always fit each other. Usually it lies unpacked in
    /// cargo's home; with vendored sources only cargo knows where.
    fn envoy_types_folder() -> Result<PathBuf> {
        match in_cargo_home()? {
            Some(folder) => Ok(folder),
            None => from_cargo_metadata(),
        }
    }

    fn in_cargo_home() -> Result<Option<PathBuf>> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
        let Some(Ok(registries)) = home.map(|home| std::fs::read_dir(home.join("registry/src"))) else {
            return Ok(None);
        };
        let folder = format!("envoy-types-{}", locked_version()?);
        let found = registries.flatten().map(|registry| registry.path().join(&folder));
        Ok(found.into_iter().find(|folder| folder.join("proto").is_dir()))
    }

    fn locked_version() -> Result<String> {
        let lock =
            std::fs::read_to_string(Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../Cargo.lock"))?;
        let (_, rest) = lock
            .split_once("name = \"envoy-types\"\nversion = \"")
            .ok_or("envoy-types is not in Cargo.lock")?;
        Ok(rest.split('"').next().unwrap_or_default().to_owned())
    }

    fn from_cargo_metadata() -> Result<PathBuf> {
        let metadata = Command::new(std::env::var("CARGO")?)
            .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
            .arg(Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
            .args(["--filter-platform", &std::env::var("TARGET")?])
            .output()?;
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)
            .map_err(|_| format!("cargo metadata failed: {}", String::from_utf8_lossy(&metadata.stderr)))?;
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
                if LEFT_OUT.iter().any(|folder| path.ends_with(folder)) {
                    continue;
                }
                collect(&path, files)?;
            } else if path.extension().is_some_and(|end| end == "proto") {
                files.push(path);
            }
        }
        Ok(())
    }
}
