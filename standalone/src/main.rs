//! `longshore`: a site in one process, and the everyday commands.

use std::process::ExitCode;

use clap::Parser;
use longshore_standalone::cli::{Cli, Command};
use longshore_standalone::error_chain::error_chain;
use longshore_standalone::up::directory::DirectoryError;
use longshore_standalone::{client, logging, up};

/// See `EXIT_CODES` of the command line.
const FAILED: u8 = 1;
const DIFF_FAILED: u8 = 2;
const DIRECTORY_IN_USE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("longshore: start the async runtime: {error}");
            return ExitCode::from(FAILED);
        }
    };
    runtime.block_on(run(cli.command))
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
            eprintln!("longshore: {}", error_chain(&error));
            let in_use = matches!(error.downcast_ref(), Some(DirectoryError::InUse { .. }));
            ExitCode::from(if in_use { DIRECTORY_IN_USE } else { failed })
        }
    }
}
