//! Log lines on standard error; standard output belongs to what the user asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::cli::LogFormat;

/// Starts logging as `LONGSHORE_LOG` says, `info` by default.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("LONGSHORE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A line that cannot be written (a closed pipe, a full disk) is lost. To say so on standard error would
        // fail as well, and panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const INNER: &str = "LONGSHORE_TEST_LOGS_TO_A_FULL_DISK";

    /// Runs itself once more, in a process whose standard error takes nothing.
    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_nothing_else() {
        if std::env::var_os(INNER).is_some() {
            start(LogFormat::Text);
            tracing::error!("nobody will read this");
            return;
        }
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let inner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("logging::tests::a_line_that_cannot_be_written_is_lost_and_nothing_else")
            .env(INNER, "yes")
            .stdout(Stdio::null())
            .stderr(full)
            .status()
            .unwrap();
        assert!(inner.success(), "{inner}");
    }
}
