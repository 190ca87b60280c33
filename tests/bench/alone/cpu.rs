//! Tells the processor time of this process, to a nanosecond: /proc counts in hundredths of a second, and
//! an idle process uses less than that.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Writes a line `cpu NANOSECONDS` every so often, for ever.
pub(crate) async fn tell(every: Duration) -> Result<()> {
    loop {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        writeln!(io::stdout(), "cpu {}{:09}", time.tv_sec, time.tv_nsec).context("writing")?;
        tokio::time::sleep(every).await;
    }
}
