//! A program that has a tokio runtime and nothing to do: what an agent's footprint is compared with.
//!
//! ```text
//! bench-idle SECONDS      tells its processor time every so often
//! ```

mod cpu;

use std::env;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let seconds: u64 = env::args().nth(1).context("usage: bench-idle SECONDS")?.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime
        .context("starting the runtime")?
        .block_on(cpu::tell(Duration::from_secs(seconds)))
}
