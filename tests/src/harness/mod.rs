//! The real programs that Longshore is proved against, started privately and cleaned up after.
//!
//! Everything here runs side by side: several engines in one test binary, several test binaries on
//! one machine, beside the machine's own Docker. So nothing has a fixed port, path, bridge or name.
//!
//! What a machine lacks makes a `start` return `None` after one line that says what is missing (one for
//! all tests that miss it), and the test returns early. Where nothing may be skipped (CI), `LONGSHORE_TESTS_NO_SKIP=1` turns that
//! line into an error.

mod bridge;
mod footprint;

pub mod apiserver;
pub mod containers;
pub mod dockerd;
pub mod http;
pub mod images;
pub mod kubectl;
pub mod objects;
pub mod ports;
pub mod process;
pub mod registry;
pub mod site;
pub mod tap;
mod tar;
pub mod watch;

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

pub use apiserver::ApiServer;
pub use dockerd::Dockerd;
pub use images::{Image, ImageBuilder, webapp};
pub use kubectl::Kubectl;
pub use objects::{Kind, Objects};
pub use registry::Registry;
pub use site::{Site, SiteOptions};
pub use tap::Tap;

/// The repository's root, where scripts and test images are.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Cargo's target directory: what is expensive to make is cached below it.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Says why a test cannot run here, and makes that an error where skipping is not allowed.
fn skip<T>(missing: &str) -> Result<Option<T>> {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if env::var_os("LONGSHORE_TESTS_NO_SKIP").is_some_and(|value| value == "1") {
        bail!("{missing}, and LONGSHORE_TESTS_NO_SKIP=1 allows no skipping");
    }
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.insert(missing.to_owned()) {
        return Ok(None);
    }
    // Past libtest's capture, which hides what a passing test prints.
    writeln!(io::stderr(), "skipped: {missing}").context("saying what is skipped")?;
    Ok(None)
}

/// The first of `programs` that cannot be found where root finds programs.
fn first_missing(programs: &[&'static str]) -> Option<&'static str> {
    programs
        .iter()
        .copied()
        .find(|program| find_program(program).is_none())
}

/// Finds a program on PATH or in the sbin directories, which PATH lacks under `su`.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}
