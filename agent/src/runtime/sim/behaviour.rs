//! What a simulated image does when it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::runtime::RuntimeErrorKind;

/// An image: in the registry, on the device, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimImage {
    /// Distinguishes builds: equal content is an equal image id.
    pub content: String,
    /// How large a pull is.
    pub size_bytes: u64,
    /// How long a pull takes.
    pub pull_takes: Duration,
    /// Its LABELs, which become its containers'.
    pub labels: BTreeMap<String, String>,
    /// What its containers do.
    pub behaviour: Behaviour,
}

impl SimImage {
    /// A small image that pulls in 200 ms.
    pub fn new(content: &str, behaviour: Behaviour) -> Self {
        Self {
            content: content.to_owned(),
            size_bytes: 4 << 20,
            pull_takes: Duration::from_millis(200),
            labels: BTreeMap::new(),
            behaviour,
        }
    }

    /// With a pull of that length.
    #[must_use]
    pub fn pull_takes(mut self, duration: Duration) -> Self {
        self.pull_takes = duration;
        self
    }

    /// With a LABEL.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// What the containers of an image do. The default runs for ever, is healthy at once, and stops on the
/// stop signal.
///
/// Whatever the script says, the environment of the test application (tests/images/webapp) works here
/// too: `MODE=exit` with `CODE` and `AFTER` (seconds) exits, `HEALTH=fail` is sick, and so is a container
/// in which `touch /tmp/sick` was executed, until `rm /tmp/sick`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// How each run ends, the last entry for all further runs; empty never ends by itself.
    pub runs: Vec<Option<Exit>>,
    /// Probes fail until it has run this long.
    pub ready_after: Duration,
    /// Probes fail from here on.
    pub sick_after: Option<Duration>,
    /// How long it takes to stop when asked.
    pub stop_takes: Duration,
    /// It ignores the stop signal and is killed (exit code 137) after the grace period.
    pub ignores_stop_signal: bool,
    /// Its exit code when it stops as asked.
    pub stop_exit_code: i64,
    /// The image has a HEALTHCHECK that comes to this verdict.
    pub healthcheck: Option<Healthcheck>,
    /// The engine refuses to make it.
    pub create_error: Option<RuntimeErrorKind>,
    /// The engine cannot start it (a missing program).
    pub start_error: Option<RuntimeErrorKind>,
    /// What it writes at each start.
    pub log: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            runs: Vec::new(),
            ready_after: Duration::ZERO,
            sick_after: None,
            stop_takes: Duration::from_millis(50),
            ignores_stop_signal: false,
            stop_exit_code: 0,
            healthcheck: None,
            create_error: None,
            start_error: None,
            log: "started\n".to_owned(),
        }
    }
}

impl Behaviour {
    /// Every run ends with `code` after `after`.
    pub fn exits(code: i64, after: Duration) -> Self {
        Self {
            runs: vec![Some(Exit {
                code,
                after,
                oom_killed: false,
            })],
            ..Self::default()
        }
    }

    /// Runs, and no probe ever succeeds.
    pub fn sick() -> Self {
        Self {
            sick_after: Some(Duration::ZERO),
            ..Self::default()
        }
    }

    /// Probes succeed after `after`.
    pub fn ready_after(after: Duration) -> Self {
        Self {
            ready_after: after,
            ..Self::default()
        }
    }

    /// Ignores SIGTERM.
    pub fn stubborn() -> Self {
        Self {
            ignores_stop_signal: true,
            ..Self::default()
        }
    }

    /// How run number `run` (from 0) ends.
    pub(super) fn exit_of(&self, run: usize, env: &[String]) -> Option<Exit> {
        self.runs
            .get(run)
            .or(self.runs.last())
            .copied()
            .unwrap_or_else(|| exit_by_environment(env))
    }
}

/// How a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Exit {
    pub code: i64,
    /// After its start.
    pub after: Duration,
    pub oom_killed: bool,
}

/// What an image's HEALTHCHECK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Healthcheck {
    /// How long it is `starting`.
    pub after: Duration,
    /// Then healthy, or not.
    pub healthy: bool,
}

pub(super) fn variable<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter()
        .rev()
        .find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name))
        .map(|(_, value)| value)
}

fn exit_by_environment(env: &[String]) -> Option<Exit> {
    let number = |name| {
        variable(env, name)
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0)
    };
    (variable(env, "MODE") == Some("exit")).then(|| Exit {
        code: i64::from(number("CODE")),
        after: Duration::from_secs(u64::from(number("AFTER"))),
        oom_killed: false,
    })
}
