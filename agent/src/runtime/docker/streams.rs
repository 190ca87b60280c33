//! Answers that come in pieces: events, a command's output, logs. Each is bounded in size and time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, LogsOptionsBuilder};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use longshore_plan::names::EngineId;
use serde::Deserialize;

use super::connection::{Connection, LOOKING};
use super::error::{own, timed_out};
use super::secrets::Secrets;
use crate::runtime::{ExecResult, RuntimeError, RuntimeErrorKind, RuntimeEvent};

const EXEC_OUTPUT: usize = 4 * 1024;
const LOG_TAIL: usize = 16 * 1024;
/// How often the exit code is asked for after the output's end, and how long between.
const EXIT_CODE_TRIES: u32 = 50;
const EXIT_CODE_PAUSE: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Clock {
    system_time: Option<String>,
}

/// Events from now on. bollard connects only when the stream is first polled, so "now" is asked of the
/// engine's clock and given as `since`: what happens between is delivered, not lost.
pub(super) async fn events(
    connection: Arc<Connection>,
) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
    const OPERATION: &str = "events";
    let clock: Clock = connection.get(OPERATION, "/info").await?;
    let now = clock
        .system_time
        .and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let kinds = ["container", "network", "volume", "image", "daemon"]
        .map(ToOwned::to_owned)
        .to_vec();
    let options = EventsOptionsBuilder::default().filters(&HashMap::from([("type".to_owned(), kinds)]));
    let options = match now {
        Some(now) => options.since(&format!("{}.{:09}", now.as_second(), now.subsec_nanosecond())),
        None => options,
    };
    let (docker, _) = connection.docker(OPERATION).await?;
    let events = docker.events(Some(options.build())).filter_map(|event| async {
        match event {
            Ok(event) => wake_up(event).map(Ok),
            Err(error) => Some(Err(error)),
        }
    });
    Ok(until_broken(connection, events.boxed()).boxed())
}

/// Turns the end into an error and stops after the first one.
fn until_broken(
    connection: Arc<Connection>,
    events: BoxStream<'static, Result<RuntimeEvent, Error>>,
) -> impl Stream<Item = Result<RuntimeEvent, RuntimeError>> + Send {
    stream::unfold(Some((connection, events)), |state| async {
        let (connection, mut events) = state?;
        let error = match events.next().await {
            Some(Ok(event)) => return Some((Ok(event), Some((connection, events)))),
            Some(Err(error)) => connection.refused("events", &error, &Secrets::none()),
            None => own(
                "events",
                RuntimeErrorKind::Unavailable,
                "the engine closed the event stream",
            ),
        };
        // Whoever answers next may be another engine.
        connection.forget_version();
        Some((Err(error), None))
    })
}

/// Probes execute commands every few seconds: that wakes nobody.
fn wake_up(event: EventMessage) -> Option<RuntimeEvent> {
    let action = event.action.unwrap_or_default();
    let noise = [
        "exec_",
        "top",
        "attach",
        "detach",
        "resize",
        "archive-path",
        "export",
        "copy",
    ];
    if noise.iter().any(|noise| action.starts_with(noise)) {
        return None;
    }
    Some(RuntimeEvent {
        kind: event.typ.map(|kind| kind.to_string()).unwrap_or_default(),
        action,
        object: event.actor.and_then(|actor| actor.id).unwrap_or_default(),
    })
}

/// Runs a command inside. At the timeout the caller gets its answer; Docker knows no way to end the
/// command itself.
pub(super) async fn exec(
    connection: &Connection,
    id: &EngineId,
    command: &[String],
    timeout: Duration,
) -> Result<ExecResult, RuntimeError> {
    let operation = format!("exec in {id}");
    let run = execute(connection, &operation, id, command);
    tokio::time::timeout(timeout, run)
        .await
        .unwrap_or_else(|_| Err(timed_out(&operation)))
}

async fn execute(
    connection: &Connection,
    operation: &str,
    id: &EngineId,
    command: &[String],
) -> Result<ExecResult, RuntimeError> {
    let (docker, _) = connection.docker(operation).await?;
    let refused = |error: Error| connection.refused(operation, &error, &Secrets::none());
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(&id.0, options).await.map_err(refused)?.id;
    let mut output = Vec::new();
    if let StartExecResults::Attached {
        output: mut pieces,
        input: _,
    } = docker.start_exec(&exec, None).await.map_err(refused)?
    {
        while let Some(piece) = pieces.next().await {
            // Read to its end, so that the command does not block on a full pipe; kept up to the bound.
            let piece = piece.map_err(refused)?.into_bytes();
            let room = EXEC_OUTPUT.saturating_sub(output.len()).min(piece.len());
            output.extend_from_slice(&piece[..room]);
        }
    }
    for _ in 0..EXIT_CODE_TRIES {
        let state = docker.inspect_exec(&exec).await.map_err(refused)?;
        if let Some(exit_code) = state.exit_code.filter(|_| state.running != Some(true)) {
            return Ok(ExecResult {
                exit_code,
                output: String::from_utf8_lossy(&output).into_owned(),
            });
        }
        tokio::time::sleep(EXIT_CODE_PAUSE).await;
    }
    Err(own(
        operation,
        RuntimeErrorKind::Other,
        "the engine tells no exit code",
    ))
}

/// The last lines of both streams.
pub(super) async fn log_tail(
    connection: &Connection,
    id: &EngineId,
    lines: usize,
) -> Result<String, RuntimeError> {
    let operation = format!("logs of {id}");
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .tail(&lines.to_string())
        .build();
    connection
        .call(&operation, LOOKING, |docker| async move {
            let mut pieces = docker.logs(&id.0, Some(options));
            let mut tail = Vec::new();
            while let Some(piece) = pieces.next().await {
                tail.extend_from_slice(&LogOutput::into_bytes(piece?));
                let surplus = tail.len().saturating_sub(LOG_TAIL);
                tail.drain(..surplus);
            }
            Ok(String::from_utf8_lossy(&tail).into_owned())
        })
        .await
}
