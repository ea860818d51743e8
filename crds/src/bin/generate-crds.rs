//! Writes what is made from the Rust types: the CustomResourceDefinitions in `charts/`, and the reference
//! parts of `docs/`. Run it as `cargo run -p trysail-crds --bin generate-crds`.

use std::{error::Error, fs, path::Path};

use crds::{definition, reference};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = root.join("charts/trysail/templates/crds");
    fs::create_dir_all(&folder)?;
    for (name, yaml) in definition::files()? {
        fs::write(folder.join(name), yaml)?;
    }
    let page = root.join("docs/meshinstall.md");
    let refreshed = reference::refresh(&fs::read_to_string(&page)?, &reference::mesh_install_fields());
    fs::write(&page, refreshed.ok_or("docs/meshinstall.md has lost the markers of its generated part")?)?;
    fs::write(root.join("docs/fields-without-effect.md"), reference::fields_without_effect_page())?;
    Ok(())
}
