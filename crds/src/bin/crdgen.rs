//! Writes the CustomResourceDefinitions to `crds/yaml`, or with `--check` tells whether they are stale.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Writes the CustomResourceDefinitions of longshore.dev as YAML.

Usage: longshore-crdgen [--check] [DIR]

  --check  write nothing; exit 1 and name the files that are stale
  DIR      where they go (default: crds/yaml of this source tree)
";

fn main() -> ExitCode {
    let mut check = false;
    let mut dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/yaml"));
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            "-h" | "--help" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            flag if flag.starts_with('-') => {
                eprint!("longshore-crdgen: unknown flag {flag}\n\n{HELP}");
                return ExitCode::from(2);
            }
            path => dir = path.into(),
        }
    }
    match run(&dir, check) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            for path in stale {
                eprintln!(
                    "longshore-crdgen: {} is stale; run longshore-crdgen",
                    path.display()
                );
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("longshore-crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the files that differ and, with `check`, were left so.
fn run(dir: &Path, check: bool) -> std::io::Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    if !check {
        std::fs::create_dir_all(dir)?;
    }
    for crd in longshore_crds::all() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let path = dir.join(format!("{name}.yaml"));
        let wanted = longshore_crds::to_yaml(&crd);
        if std::fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            std::fs::write(&path, wanted)?;
            println!("{}", path.display());
        }
    }
    Ok(stale)
}
