//! One table, two data planes: rows of YAML, requests and outcomes, each on our proxy and on a stock Envoy.
//!
//! `make table`, or `cargo test -p trysail-testkit --test table [PART OF A FILE'S NAME OR A ROW'S TITLE]`. The programs
//! must have been built before. The format is described in `README.md` beside the rows.

use std::path::Path;
use std::process::ExitCode;

use testkit::{enter, envoy_binary, run_table};

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/table");
    enter(|| envoy_binary().map(drop), || run_table(&folder, &filter))
}
