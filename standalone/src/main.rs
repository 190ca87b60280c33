//! `longshore`: a site in one process, and the everyday commands.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use longshore_standalone::cli::{Cli, Command};
use longshore_standalone::error_chain::error_chain;
use longshore_standalone::logging::complain;
use longshore_standalone::up::directory::DirectoryError;
use longshore_standalone::{client, logging, up};

/// How long threads that block may take to end.
const STUCK_THREADS: Duration = Duration::from_secs(2);
/// See `EXIT_CODES` of the command line.
const FAILED: u8 = 1;
const DIFF_FAILED: u8 = 2;
const DIRECTORY_IN_USE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.log_format, logging::default_filter(&cli.command));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("start the async runtime: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(run(cli.command));
    // Everything that must end in order has. A thread stuck in the kernel must not hold the exit.
    runtime.shutdown_timeout(STUCK_THREADS);
    code
}

async fn run(command: Command) -> ExitCode {
    let mut out = std::io::stdout();
    let (result, failed) = match command {
        Command::Up(args) => (Box::pin(up::up(args)).await, FAILED),
        Command::Apply(args) => (client::apply(&args, &mut out).await, FAILED),
        Command::Get(args) => (client::get(&args, &mut out).await, FAILED),
        Command::Delete(args) => (client::delete(&args, &mut out).await, FAILED),
        Command::Diff(args) => match client::diff(&args, &mut out).await {
            Ok(true) => return ExitCode::from(1),
            Ok(false) => return ExitCode::SUCCESS,
            Err(error) => (Err(error), DIFF_FAILED),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error_chain(&error));
            let in_use = matches!(error.downcast_ref(), Some(DirectoryError::InUse { .. }));
            ExitCode::from(if in_use { DIRECTORY_IN_USE } else { failed })
        }
    }
}
