//! (e) What an agent costs a device that has little: memory, processor time while nothing happens, and the
//! size of its program, beside a tokio program that does nothing at all.
//!
//! The agent is a crate inside `longshore` in this release, so a program is built that has the agent and
//! nothing else (`alone/agent.rs`). PSS counts shared pages by their share; both programs run at the same
//! time.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use longshore_bus::codec;
use longshore_bus::envelope::{CommandEnvelope, CorrelationId, VERSION, action};
use longshore_plan::desired::DesiredSet;
use longshore_plan::plan;
use longshore_plan::step::{Fence, NumberedStep, PlanCommand};
use longshore_tests::harness::process::{Process, wait_until};
use longshore_tests::harness::{Dockerd, containers, webapp};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::fixtures;
use crate::measure::{Effort, Outcome, Row};

const IMAGE: &str = "bench-app:1";
/// Known to `alone/agent.rs` as well.
const SITE: &str = "bench";
const CONTAINERS: usize = 10;
const STARTING: Duration = Duration::from_mins(2);

/// Measures it.
pub(crate) fn measure(effort: Effort) -> Result<Outcome> {
    let mut rows = vec![sizes()?];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("starting a runtime")?;
    match runtime.block_on(processes(effort))? {
        Some(measured) => rows.extend(measured),
        None => rows[0]
            .notes
            .push("memory and processor time skipped: no private Docker engine can run here".to_owned()),
    }
    Ok(Outcome::Rows(rows))
}

fn sizes() -> Result<Row> {
    let mut row = Row::new(
        "size of the agent's program, stripped",
        "idle tokio program, stripped",
        "kB",
    );
    row.ours
        .push(kilobytes(fs::metadata(program("bench-agent")?)?.len()));
    row.baseline
        .push(kilobytes(fs::metadata(program("bench-idle")?)?.len()));
    if let Ok(whole) = fs::metadata(program("longshore")?) {
        let size = kilobytes(whole.len());
        row.notes
            .push(format!("longshore, everything in one: {size:.0} kB"));
    }
    Ok(row)
}

async fn processes(effort: Effort) -> Result<Option<Vec<Row>>> {
    let Some(engine) = Dockerd::start().await? else {
        return Ok(None);
    };
    let docker = engine.bollard()?;
    webapp(IMAGE, "v1")?.build().load(&docker).await?;
    let mut rows = Vec::new();
    for containers in [0, CONTAINERS] {
        rows.extend(while_idle(&engine, &docker, containers, effort).await?);
    }
    Ok(Some(rows))
}

/// Both programs with nothing to do: the agent has these containers, and all of them are well.
async fn while_idle(
    engine: &Dockerd,
    docker: &Docker,
    containers: usize,
    effort: Effort,
) -> Result<Vec<Row>> {
    let directory = tempfile::tempdir().context("making a directory")?;
    let turn = Duration::from_secs(effort.pick(2, 10));
    let mut agent = Running::start("bench-agent", &directory, turn, |command| {
        let device = format!("default.bench-{containers}");
        command
            .arg(engine.host())
            .arg(directory.path().join("storage"))
            .arg(&device);
        if containers > 0 {
            let file = directory.path().join("command");
            fs::write(&file, declaration(&device, containers)?).context("writing the plan")?;
            command.arg(file);
        }
        Ok(())
    })?;
    let mut idle = Running::start("bench-idle", &directory, turn, |_| Ok(()))?;
    all_running(docker, containers, &mut agent).await?;
    tokio::time::sleep(Duration::from_secs(effort.pick(4, 20))).await;

    let what = format!("agent with {containers} containers");
    let mut memory = Row::new(format!("memory (PSS), {what}"), "idle tokio program", "KiB");
    let mut time = Row::new(
        format!("processor time while idle, {what}"),
        "idle tokio program",
        "ms/min",
    );
    let before = (agent.hundredths()?, agent.told()?.len(), idle.told()?.len());
    let seconds = effort.pick(6, 60);
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory.ours.push(agent.pss()?);
        memory.baseline.push(idle.pss()?);
    }
    let by_kernel = agent.hundredths()? - before.0;
    for (running, from, arm) in [
        (&mut agent, before.1, &mut time.ours),
        (&mut idle, before.2, &mut time.baseline),
    ] {
        let told = running.told()?;
        ensure!(from > 0 && told.len() > from, "a program does not tell its time");
        for turns in told[from - 1..].windows(2) {
            let nanoseconds = f64::from(u32::try_from(turns[1] - turns[0]).context("too busy to be idle")?);
            arm.push(nanoseconds / 1e6 * 60.0 / turn.as_secs_f64());
        }
    }
    time.notes.push(format!(
        "/proc/PID/stat: {by_kernel} hundredths of a second in {seconds} s"
    ));
    Ok(vec![memory, time])
}

async fn all_running(docker: &Docker, wanted: usize, agent: &mut Running) -> Result<()> {
    wait_until("the agent's containers run", STARTING, async || {
        if let Err(ended) = agent.process.check_running() {
            return Ok(Err(ended));
        }
        let all = containers::all(docker)
            .await
            .map_err(|error| format!("{error:#}"))?;
        let up = all
            .values()
            .filter(|container| container.state == "running")
            .count();
        (up == wanted)
            .then_some(Ok(()))
            .ok_or_else(|| format!("{up} of {wanted} run"))
    })
    .await?
}

/// What the fixtures declare, but without the arguments, which the test application knows nothing of.
fn desired(containers: usize) -> Result<DesiredSet> {
    let workloads = fixtures::shares(containers).into_iter().map(|(name, share)| {
        let mut workload = fixtures::workload(&name, &[], IMAGE, share);
        let servers = workload["spec"]["template"]["containers"].as_array_mut();
        for server in servers.into_iter().flatten() {
            server["args"] = json!([]);
        }
        fixtures::rendered(&workload)
    });
    Ok(DesiredSet {
        workloads: workloads.collect::<Result<_>>()?,
        ..DesiredSet::default()
    })
}

/// A plan.apply for a device that has nothing.
fn declaration(device: &str, containers: usize) -> Result<Vec<u8>> {
    let desired = desired(containers)?;
    let fence = Fence {
        site: SITE.to_owned(),
        epoch: 1,
        n: 1,
    };
    let steps = plan(&desired, &fixtures::bare()).steps.into_iter();
    let args = PlanCommand {
        fence: fence.clone(),
        desired,
        steps: steps
            .map(|step| NumberedStep {
                correlation_id: Uuid::now_v7().to_string(),
                step,
            })
            .collect(),
    };
    let (tenant, name) = device.split_once('.').context("a device's id")?;
    let command = CommandEnvelope {
        version: VERSION,
        correlation_id: CorrelationId(Uuid::now_v7()),
        tenant: tenant.to_owned(),
        device: name.to_owned(),
        plugin: "container".to_owned(),
        action: action::PLAN_APPLY.to_owned(),
        args: serde_json::to_value(args).context("encoding the plan")?,
        actor: "bench".to_owned(),
        issued_at: "2026-01-01T00:00:00Z".to_owned(),
        ttl_ms: 60_000,
        fence: Some(fence),
        traceparent: None,
    };
    Ok(codec::encode(&command).context("encoding the command")?.to_vec())
}

/// One of the two programs.
struct Running {
    process: Process,
}

impl Running {
    fn start(
        name: &str,
        directory: &TempDir,
        turn: Duration,
        arguments: impl FnOnce(&mut Command) -> Result<()>,
    ) -> Result<Self> {
        let mut command = Command::new(program(name)?);
        command.arg(turn.as_secs().to_string());
        arguments(&mut command)?;
        let process = Process::spawn(name, &command, &directory.path().join(format!("{name}.log")))?;
        Ok(Self { process })
    }

    /// The processor time it told each turn, in nanoseconds.
    fn told(&mut self) -> Result<Vec<u64>> {
        self.process.check_running()?;
        let log = fs::read_to_string(self.process.log()).context("reading a log")?;
        let lines = log.lines().filter_map(|line| line.strip_prefix("cpu "));
        lines
            .map(|number| number.parse().context("reading a time"))
            .collect()
    }

    /// Its proportional set size in KiB, which /proc calls kB.
    fn pss(&self) -> Result<f64> {
        let rollup = self.read("smaps_rollup")?;
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .context("no Pss")?;
        line.trim().trim_end_matches(" kB").parse().context("reading Pss")
    }

    /// Its user and system time in hundredths of a second, as /proc has it.
    fn hundredths(&self) -> Result<u64> {
        let stat = self.read("stat")?;
        // Behind the program's name, which may hold anything.
        let fields = stat.rsplit_once(')').context("reading stat")?.1;
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        times.sum::<Result<u64, _>>().context("reading stat")
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.process.pid());
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}

/// A program of this build.
fn program(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("finding this program")?;
    let directory = own
        .parent()
        .map(Path::to_owned)
        .context("this program's directory")?;
    Ok(directory.join(name))
}

fn kilobytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e3
}
