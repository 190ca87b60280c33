//! What the figures were measured on: without it they mean nothing.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use longshore_bus::clock::{Clock, SystemClock};
use longshore_tests::harness::process::run;
use longshore_tests::harness::repository;

use crate::measure::Effort;

/// The machine and this build, a few lines.
pub(crate) fn facts(effort: Effort) -> Result<String> {
    let cores = thread::available_parallelism().context("counting the cores")?;
    let built = if cfg!(debug_assertions) {
        "debug build: the figures mean nothing"
    } else {
        "release build"
    };
    let extent = effort.pick("quick run: the figures mean little", "full run");
    Ok(format!(
        "Longshore benchmarks, {}, commit {}, {built}, {extent}\n\
         machine: {cores} cores ({}), {} of memory, Linux {}\n\
         engine:  {}\n\
         {}\n",
        SystemClock.now_rfc3339(),
        commit(),
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown model".to_owned()),
        memory(),
        read("/proc/sys/kernel/osrelease"),
        docker(),
        load("at the start"),
    ))
}

/// How busy the machine is. More than the number of cores: somebody else was measured as well.
pub(crate) fn load(when: &str) -> String {
    let averages = read("/proc/loadavg");
    let averages: Vec<&str> = averages.split(' ').take(3).collect();
    format!("load average {when}: {}", averages.join(" "))
}

fn memory() -> String {
    let total = field("/proc/meminfo", "MemTotal")
        .and_then(|total| total.trim_end_matches(" kB").parse::<u64>().ok());
    total.map_or_else(
        || "unknown size".to_owned(),
        |kib| format!("{} GiB", kib.div_ceil(1 << 20)),
    )
}

fn commit() -> String {
    let head = run(Command::new("git")
        .arg("-C")
        .arg(repository())
        .args(["rev-parse", "--short", "HEAD"]));
    let changed = run(Command::new("git")
        .arg("-C")
        .arg(repository())
        .args(["status", "--porcelain"]));
    match (head, changed) {
        (Ok(head), Ok(changed)) if changed.trim().is_empty() => head.trim().to_owned(),
        (Ok(head), _) => format!("{} with changes", head.trim()),
        (Err(_), _) => "unknown".to_owned(),
    }
}

fn docker() -> String {
    let version = run(Command::new("dockerd").arg("--version"));
    version.map_or_else(|_| "no Docker".to_owned(), |version| version.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The first `name: value` line of a file of such lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
