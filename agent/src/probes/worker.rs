//! The probes of one start of one container.

use std::sync::Arc;
use std::time::Duration;

use longshore_plan::observed::Health;
use longshore_plan::spec::{Probe, ProbeAction};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Assignment, Probing, RestartRequest};
use crate::runtime::RuntimeErrorKind;
use crate::runtime::probe_network::HttpTarget;

pub(super) struct Worker {
    pub(super) probing: Arc<Probing>,
    pub(super) assignment: Assignment,
    /// It ran before this agent did: no initial delay, and its age counts.
    pub(super) before_us: bool,
}

/// What one probe came to.
enum Verdict {
    Yes,
    No(String),
    /// The engine did not answer: nothing is known.
    Unknown,
}

impl Worker {
    /// Runs until it is aborted.
    pub(super) async fn run(self) {
        if let Some(startup) = &self.assignment.startup {
            self.startup(startup).await;
        }
        tokio::join!(self.readiness(), self.liveness());
    }

    async fn startup(&self, probe: &Probe) {
        let mut counts = Counts::default();
        self.delay(probe).await;
        loop {
            match counts.take(probe, self.ask(probe).await) {
                Reached::Success => return,
                Reached::Failure(words) => {
                    let words = format!("startup probe: {words}");
                    self.note(Health::Unhealthy, words.clone());
                    self.ask_for_restart(words);
                }
                Reached::Nothing => {}
            }
            sleep(period(probe)).await;
        }
    }

    async fn readiness(&self) {
        let Some(probe) = &self.assignment.readiness else {
            // Without a probe there is nothing to ask: it is healthy once it ran long enough.
            if !self.assignment.by_engine {
                sleep_until(self.ripe_at()).await;
                self.note(Health::Healthy, String::new());
            }
            return;
        };
        let mut counts = Counts::default();
        self.delay(probe).await;
        loop {
            match counts.take(probe, self.ask(probe).await) {
                Reached::Success => self.note(Health::Healthy, String::new()),
                Reached::Failure(words) => self.note(Health::Unhealthy, format!("readiness probe: {words}")),
                Reached::Nothing => {}
            }
            sleep(period(probe)).await;
        }
    }

    async fn liveness(&self) {
        let Some(probe) = &self.assignment.liveness else {
            return;
        };
        let mut counts = Counts::default();
        self.delay(probe).await;
        loop {
            if let Reached::Failure(words) = counts.take(probe, self.ask(probe).await) {
                self.ask_for_restart(format!("liveness probe: {words}"));
            }
            sleep(period(probe)).await;
        }
    }

    /// When a container without a readiness probe has run long enough.
    fn ripe_at(&self) -> Instant {
        let min_ready = self.assignment.min_ready;
        if !self.before_us {
            return Instant::now() + min_ready;
        }
        let started: Option<jiff::Timestamp> = self.assignment.started_at.parse().ok();
        let now = jiff::Timestamp::try_from(self.probing.view.clock().now()).ok();
        let age = started
            .zip(now)
            .and_then(|(started, now)| Duration::try_from(now.duration_since(started)).ok());
        Instant::now() + min_ready.saturating_sub(age.unwrap_or_default())
    }

    async fn delay(&self, probe: &Probe) {
        if !self.before_us {
            sleep(Duration::from_secs(u64::from(probe.initial_delay_seconds))).await;
        }
    }

    fn note(&self, health: Health, words: String) {
        let Assignment {
            id,
            started_at,
            restarts,
            ..
        } = &self.assignment;
        self.probing
            .view
            .note_health(id, started_at, *restarts, health, words);
    }

    fn ask_for_restart(&self, words: String) {
        let request = RestartRequest {
            key: self.assignment.key.clone(),
            id: self.assignment.id.clone(),
            started_at: self.assignment.started_at.clone(),
            words,
        };
        // Overflow: the probe goes on failing and asks again.
        drop(self.probing.restarts.try_send(request));
    }

    async fn ask(&self, probe: &Probe) -> Verdict {
        let timeout = Duration::from_secs(u64::from(probe.timeout_seconds.max(1)));
        match &probe.action {
            ProbeAction::Exec { command } => {
                match self
                    .probing
                    .runtime
                    .exec(&self.assignment.id, command, timeout)
                    .await
                {
                    Ok(result) if result.exit_code == 0 => Verdict::Yes,
                    // Its output is not shown: it may be anything.
                    Ok(result) => Verdict::No(format!("the command exited with code {}", result.exit_code)),
                    Err(error) if error.kind == RuntimeErrorKind::Unavailable => Verdict::Unknown,
                    Err(error) => Verdict::No(error.message),
                }
            }
            ProbeAction::HttpGet {
                port,
                path,
                host,
                headers,
            } => {
                let Some(host) = self.host(host.as_ref()) else {
                    return Verdict::No("the container has no address".to_owned());
                };
                let target = HttpTarget {
                    host,
                    port: *port,
                    path: path.clone(),
                    headers: headers.clone(),
                };
                let answer = self.probing.network.http_get(&target, timeout).await;
                answer.map_or_else(|error| Verdict::No(error.to_string()), |()| Verdict::Yes)
            }
            ProbeAction::TcpSocket { port, host } => {
                let Some(host) = self.host(host.as_ref()) else {
                    return Verdict::No("the container has no address".to_owned());
                };
                let answer = self.probing.network.tcp_connect(&host, *port, timeout).await;
                answer.map_or_else(|error| Verdict::No(error.to_string()), |()| Verdict::Yes)
            }
        }
    }

    fn host(&self, given: Option<&String>) -> Option<String> {
        if let Some(host) = given {
            return Some(host.clone());
        }
        let snapshot = self.probing.view.now();
        let detail = snapshot.details.get(&self.assignment.id)?;
        let attached = detail.networks.iter().find_map(|a| a.address);
        detail.address.or(attached).map(|address| address.to_string())
    }
}

fn period(probe: &Probe) -> Duration {
    Duration::from_secs(u64::from(probe.period_seconds.max(1)))
}

/// Consecutive answers against the probe's thresholds.
#[derive(Default)]
struct Counts {
    successes: u32,
    failures: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Reached {
    Nothing,
    Success,
    Failure(String),
}

impl Counts {
    fn take(&mut self, probe: &Probe, verdict: Verdict) -> Reached {
        match verdict {
            Verdict::Unknown => Reached::Nothing,
            Verdict::Yes => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if self.successes >= probe.success_threshold.max(1) {
                    Reached::Success
                } else {
                    Reached::Nothing
                }
            }
            Verdict::No(words) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                if self.failures >= probe.failure_threshold.max(1) {
                    Reached::Failure(words)
                } else {
                    Reached::Nothing
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_consecutive_answers_only() {
        let probe = Probe {
            action: ProbeAction::Exec { command: Vec::new() },
            initial_delay_seconds: 0,
            period_seconds: 1,
            timeout_seconds: 1,
            success_threshold: 2,
            failure_threshold: 3,
        };
        let mut counts = Counts::default();
        let mut answers = "y n n y n n n n ? y y y".split(' ').map(|answer| {
            let verdict = match answer {
                "y" => Verdict::Yes,
                "n" => Verdict::No("no".to_owned()),
                _ => Verdict::Unknown,
            };
            match counts.take(&probe, verdict) {
                Reached::Nothing => '.',
                Reached::Success => '+',
                Reached::Failure(_) => '-',
            }
        });
        assert_eq!(answers.by_ref().collect::<String>(), "......--..++");
    }
}
