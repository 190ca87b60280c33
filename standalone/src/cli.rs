//! The command line. Kept stable from the first release on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use longshore_agent::runtime::docker::DockerRuntime;
use longshore_plan::names::DnsLabel;

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
    #[command(after_help = EXIT_CODES)]
    Apply(ApplyArgs),
    /// Show objects: `longshore get workloads`, `longshore get wl hello -o yaml`, `longshore get wl,dev`.
    #[command(after_help = EXIT_CODES)]
    Get(GetArgs),
    /// Delete what the manifests declare and wait until it is gone. Named volumes and everything unmanaged
    /// stay.
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteArgs),
    /// Say in words what applying the manifests would do on which device, and do nothing.
    ///
    /// Exits 0 when nothing would change, 1 when something would, 2 when it failed, as `kubectl diff` does.
    #[command(after_help = EXIT_CODES)]
    Diff(ApplyArgs),
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
    #[arg(long, value_name = "ADDR", value_parser = not_served)]
    pub bus_addr: Option<SocketAddr>,

    /// Where the REST gateway and the console listen. Not served yet.
    #[arg(long, value_name = "ADDR", value_parser = not_served)]
    pub gateway_addr: Option<SocketAddr>,

    /// What runs the containers of this machine.
    #[arg(long, value_enum, default_value_t)]
    pub runtime: RuntimeKind,

    /// Where the engine answers, e.g. unix:///run/docker.sock or tcp://127.0.0.1:2375.
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub runtime_endpoint: Option<String>,

    /// This machine's name as a Device in namespace `default`: lower case letters, digits and '-', at
    /// most 40.
    #[arg(long, value_name = "NAME", default_value = "dev1", value_parser = device_name)]
    pub device: DnsLabel,

    /// Use this cluster's API server instead of the embedded one. The CRDs are installed there.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// A Device's name is a DNS label of at most 40 characters, so that it fits into every name made of it.
fn device_name(text: &str) -> Result<DnsLabel, String> {
    match DnsLabel::new(text) {
        Ok(name) if name.as_str().len() <= 40 => Ok(name),
        Ok(_) => Err("a Device's name has at most 40 characters".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Refuses an endpoint that no engine can have; nothing is asked there yet.
fn endpoint(text: &str) -> Result<String, String> {
    match DockerRuntime::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.message),
    }
}

/// A part that this release does not have.
fn not_served(_: &str) -> Result<SocketAddr, &'static str> {
    Err("this release serves no such part; leave the flag out")
}

/// `90`, `90s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        Some((at, _)) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let parsed = digits.parse::<u64>().ok().zip(seconds);
    let parsed = parsed.and_then(|(count, seconds)| count.checked_mul(seconds));
    parsed
        .map(Duration::from_secs)
        .ok_or_else(|| "a time is a number with s, m or h, such as 90s or 5m".to_owned())
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

/// Which manifests, and where to.
#[derive(Debug, Clone, Args)]
pub struct ManifestArgs {
    /// A YAML or JSON file, a directory of them, or `-` for standard input. May be given again.
    #[arg(long = "filename", short = 'f', value_name = "PATH", required = true)]
    pub filenames: Vec<PathBuf>,

    /// Where to.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `apply` and `diff`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// Which.
    #[command(flatten)]
    pub manifests: ManifestArgs,

    /// Take fields over that somebody else set to another value, such as `kubectl edit` or a GitOps tool.
    #[arg(long)]
    pub force_conflicts: bool,
}

/// `delete`.
#[derive(Debug, Clone, Args)]
pub struct DeleteArgs {
    /// Which.
    #[command(flatten)]
    pub manifests: ManifestArgs,

    /// Wait until the objects are gone.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub wait: bool,

    /// How long to wait for all of them, e.g. 90s or 5m; 0 is without end.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub timeout: Duration,
}

/// `get`.
#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// Kinds by any of their names (workloads, workload, wl, devices, dev, secrets, events …), several with
    /// commas; then names, or `kind/name` pairs.
    #[arg(required = true, value_name = "KIND [NAME …] | KIND/NAME …")]
    pub what: Vec<String>,

    /// How it is shown; the default is a table.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,

    /// Only objects with these labels, e.g. `app=hello,tier!=test`.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// The objects of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,

    /// With YAML and JSON: who set which field, too.
    #[arg(long)]
    pub show_managed_fields: bool,

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
        assert_eq!(up.device.as_str(), "dev1");
    }

    #[test]
    fn values_that_cannot_be_right_are_errors_of_the_command_line() {
        let long = "a".repeat(41);
        for (flag, value) in [
            ("--device", "Bad_Name"),
            ("--device", &long),
            ("--bus-addr", "127.0.0.1:1"),
            ("--gateway-addr", "x"),
            ("--runtime-endpoint", "ftp://x"),
            ("--api-addr", "nowhere"),
        ] {
            let error = Cli::try_parse_from(["longshore", "up", flag, value]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flag} {value}");
            assert!(error.to_string().contains(flag), "{error}");
        }
        let endpoint = ["longshore", "up", "--runtime-endpoint", "unix:///run/docker.sock"];
        Cli::try_parse_from(endpoint).unwrap();
    }

    #[test]
    fn times_have_units() {
        let seconds = |text| duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("1h"), Ok(3600));
        for wrong in ["", "s", "5 m", "-1s", "1d", "99999999999999999999"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn delete_waits_unless_told_not_to() {
        let parse = |more: &[&str]| {
            let words = ["longshore", "delete", "-f", "x"].iter().chain(more);
            match Cli::try_parse_from(words).unwrap().command {
                Command::Delete(args) => args.wait,
                other => panic!("{other:?}"),
            }
        };
        assert!(parse(&[]) && parse(&["--wait"]) && parse(&["--wait=true"]));
        assert!(!parse(&["--wait=false"]));
    }
}
