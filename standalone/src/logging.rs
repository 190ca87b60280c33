//! Log lines on standard error; standard output belongs to what the user asked for.

use std::io::{IsTerminal, Write as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::cli::{Command, LogFormat};

/// Which lines, unless `LONGSHORE_LOG` says so. What the commands have to say is in their output; the client
/// library would log an error that they tell in better words.
pub fn default_filter(command: &Command) -> &'static str {
    match command {
        Command::Up(_) => "info",
        _ => "warn,kube_client=off",
    }
}

/// Starts logging as `LONGSHORE_LOG` says. A filter that is no filter is said and left out of account: a site
/// does not stay down for its log.
pub fn start(format: LogFormat, default_filter: &str) {
    let default = || EnvFilter::new(default_filter);
    let filter = match std::env::var("LONGSHORE_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).unwrap_or_else(|error| {
            complain(&format!("LONGSHORE_LOG={text:?} is not used: {error}"));
            default()
        }),
        _ => default(),
    };
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

/// Says so beside the log, to whoever still listens: `eprintln!` panics where nobody does.
pub fn complain(why: &str) {
    writeln!(std::io::stderr(), "longshore: {why}").ok();
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
            start(LogFormat::Text, "info");
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
