//! Writes the CustomResourceDefinitions of all kinds into the chart: `cargo run -p trysail-crds --bin generate-crds`.
//! An optional argument names another folder.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/trysail/templates/crds");
    let folder = env::args_os().nth(1).map_or_else(|| PathBuf::from(chart), PathBuf::from);
    fs::create_dir_all(&folder)?;
    for (name, yaml) in crds::definition::files()? {
        fs::write(folder.join(name), yaml)?;
    }
    Ok(())
}
