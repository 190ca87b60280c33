//! The command line. Kept stable from the first release on.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Printed below `--help`: what scripts may rely on.
const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `up`: stopped in order by SIGTERM or Ctrl-C
  1  failed, with one line on standard error that says why; for `diff`: something would change
  2  the command line is wrong; for `diff`: failed
  3  for `up`: another longshore runs on the same directory

Environment:
  LONGSHORE_DIR   default of --dir
  LONGSHORE_LOG   what is logged, e.g. `info` (the default) or `warn,longshore_agent=debug`
  KUBECONFIG      default of --kubeconfig for apply, get, delete and diff
  DOCKER_HOST     default of --runtime-endpoint for Docker";

/// Longshore runs containers on fleets of devices the Kubernetes way.
///
/// `longshore up` is a whole site in one process: an API server that kubectl talks to, the controller,
/// and an agent for the container engine of this machine. The other commands do the everyday things
/// without kubectl, through the same API.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// How log lines on standard error look.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole site in this process until SIGTERM or Ctrl-C. Containers are left running.
    ///
    /// When all parts serve it writes DIR/kubeconfig and DIR/ready.json and says so on standard output:
    ///
    ///   longshore up &
    ///   kubectl --kubeconfig DIR/kubeconfig apply -f examples/hello
    #[command(verbatim_doc_comment, after_help = EXIT_CODES)]
    Up(UpArgs),
    /// Create or change what the manifests declare, by server-side apply.
    Apply(ManifestArgs),
    /// Show objects: `longshore get workloads`, `longshore get wl hello -o yaml`.
    Get(GetArgs),
    /// Delete what the manifests declare. Named volumes and everything unmanaged stay.
    Delete(ManifestArgs),
    /// Say in words what applying the manifests would do on which device, and do nothing.
    ///
    /// Exits 0 when nothing would change, 1 when something would, 2 when it failed, as `kubectl diff` does.
    Diff(ManifestArgs),
}

/// `longshore up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Where everything is kept: the store, the agent's ledger, certificates.
    /// [default: /var/lib/longshore for root, else ~/.local/share/longshore]
    #[arg(long, env = "LONGSHORE_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Where the API server listens. Port 0 takes the port of the last run if it is free, else any.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub api_addr: SocketAddr,

    /// Where the bus listens. Not served yet: in this release the bus stays within the process.
    #[arg(long, value_name = "ADDR")]
    pub bus_addr: Option<SocketAddr>,

    /// Where the REST gateway and the console listen. Not served yet.
    #[arg(long, value_name = "ADDR")]
    pub gateway_addr: Option<SocketAddr>,

    /// What runs the containers of this machine.
    #[arg(long, value_enum, default_value_t)]
    pub runtime: RuntimeKind,

    /// Where the engine answers, e.g. unix:///run/docker.sock or tcp://127.0.0.1:2375.
    #[arg(long, value_name = "URL")]
    pub runtime_endpoint: Option<String>,

    /// This machine's name as a Device in namespace `default`: lower case letters, digits and '-', at
    /// most 40.
    #[arg(long, value_name = "NAME", default_value = "dev1")]
    pub device: String,

    /// Use this cluster's API server instead of the embedded one. The CRDs are installed there.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// What runs containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RuntimeKind {
    /// Docker Engine.
    #[default]
    Docker,
    /// A simulated engine: nothing real runs.
    Sim,
    /// No agent at all: API server and controller only.
    None,
}

/// Where the API server is.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// The kubeconfig. [default: $KUBECONFIG, else DIR/kubeconfig of `longshore up`]
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The namespace of objects that name none.
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// `apply`, `delete` and `diff`.
#[derive(Debug, Clone, Args)]
pub struct ManifestArgs {
    /// A YAML or JSON file, a directory of them, or `-` for standard input. May be given again.
    #[arg(long = "filename", short = 'f', value_name = "PATH", required = true)]
    pub filenames: Vec<PathBuf>,

    /// Where to.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `get`.
#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// A kind by any of its names: workloads, workload, wl, devices, dev, secrets, events …
    pub kind: String,

    /// Only the object of this name.
    pub name: Option<String>,

    /// How it is shown; the default is a table.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,

    /// Only objects with these labels, e.g. `app=hello,tier!=test`.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// The objects of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,

    /// Where from.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// How `get` shows objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table with all columns.
    Wide,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// `kind/name`.
    Name,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn up_needs_no_flag() {
        let cli = Cli::try_parse_from(["longshore", "up"]).unwrap();
        let Command::Up(up) = cli.command else {
            panic!("not up")
        };
        assert_eq!(up.api_addr.to_string(), "127.0.0.1:0");
        assert_eq!(up.runtime, RuntimeKind::Docker);
        assert_eq!(up.device, "dev1");
    }
}
