//! What Longshore costs, measured beside what the same thing costs without it.
//!
//! Every row has two arms, both measured in this run and taking turns, because a figure alone says more
//! about the machine than about the program. There is no gate: a slow row is printed, not failed.
//! docs/benchmarks.md tells what each row means.
//!
//! `BENCH_QUICK=1` takes few runs, to see that everything works. `BENCH_ROWS=acf` runs those rows only.

mod fixtures;
mod footprint;
mod idle;
mod latency;
mod machine;
mod measure;
mod planner;
mod reconcile;
mod rig;
mod start;
mod table;
mod twin;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use measure::{Effort, Outcome};

/// One group of rows.
type Measurement = fn(Effort) -> Result<Outcome>;

/// Every group, by the letter that docs/benchmarks.md has for it.
const GROUPS: [(char, &str, Measurement); 6] = [
    ('a', "a change's way to the agent", latency::measure),
    ('b', "from an apply to a running container", start::measure),
    ('c', "reports that ask for nothing", reconcile::measure),
    ('d', "an idle fleet", idle::measure),
    ('e', "the agent on a small device", footprint::measure),
    (
        'f',
        "the planner alone, a device of 50 containers",
        planner::measure,
    ),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything that is asked for; whether all of it could be measured.
fn run() -> Result<bool> {
    let effort = Effort::from_environment();
    let wanted = env::var("BENCH_ROWS").ok().filter(|rows| !rows.is_empty());
    let mut out = io::stdout();
    writeln!(out, "{}", machine::facts(effort)?).context("printing")?;
    writeln!(out, "{}", table::head()).context("printing")?;
    let mut complete = true;
    for (letter, title, measure) in GROUPS {
        if wanted.as_ref().is_some_and(|rows| !rows.contains(letter)) {
            continue;
        }
        let text = match measure(effort) {
            Ok(outcome) => table::group(letter, title, &outcome),
            Err(error) => {
                complete = false;
                format!("({letter}) {title}\n      could not be measured: {error:#}\n")
            }
        };
        // Each as soon as it is there: the whole takes minutes.
        writeln!(out, "{text}").context("printing")?;
        out.flush().context("printing")?;
    }
    writeln!(out, "{}", machine::load("at the end")).context("printing")?;
    Ok(complete)
}
