//! One contract, two engines: every case runs on the simulated machine and on a real dockerd, so that the
//! simulation stays honest. What only a real engine can show (files, name resolution, the wire) asks
//! [`lab::Lab::is_real`] first.

mod containers;
mod creation;
mod engine;
mod lab;
mod objects;
mod pulls;

use std::pin::Pin;

use anyhow::{Result, ensure};
use futures::StreamExt as _;

use lab::{Case, DockerLab, Lab, SimLab};

type Run = for<'a> fn(Case<'a>) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

macro_rules! cases {
    ($($module:ident::$case:ident),* $(,)?) => {
        &[$((stringify!($case), |case| Box::pin($module::$case(case)))),*]
    };
}

/// Side by side, each with names of its own.
const CASES: &[(&str, Run)] = cases![
    containers::everything_may_be_repeated,
    containers::a_name_is_taken_once,
    containers::a_host_port_is_taken_once,
    containers::an_unknown_container_is_told_as_such,
    containers::a_process_that_ignores_its_signal_is_killed_after_the_grace_period,
    containers::a_signal_that_is_no_stop_does_not_end_the_restarts,
    containers::a_restart_is_a_stop_and_a_start,
    containers::restart_policies_are_carried_out,
    containers::a_frozen_container_can_be_woken_stopped_and_removed,
    containers::limits_change_in_place_and_some_cannot_be_lifted,
    containers::commands_inside_end_with_their_code,
    containers::the_log_tells_the_last_lines,
    containers::events_wake_whoever_subscribed,
    creation::what_was_asked_for_is_what_is_read_back,
    creation::environment_arguments_and_files_arrive,
    creation::a_missing_source_is_an_error_and_no_empty_directory,
    creation::no_secret_is_in_a_refusal,
    objects::networks_hold_what_runs_in_them,
    objects::a_container_joins_all_its_networks_at_creation,
    objects::containers_find_each_other_by_alias,
    objects::volumes_are_kept_while_used,
    objects::images_in_use_stay,
    pulls::each_refusal_of_a_pull_has_its_kind,
    pulls::a_pull_shows_its_progress_and_brings_the_image,
    pulls::a_dropped_pull_is_given_up_by_the_engine,
];

/// One after the other: they take the engine away from everybody.
const ENGINE_CASES: &[(&str, Run)] = cases![
    engine::an_engine_that_is_away_is_unavailable,
    engine::a_restarted_engine_starts_what_its_policies_say,
    engine::a_killed_engine_starts_its_containers_again,
    engine::event_streams_end_with_the_engine,
];

async fn keep_the_contract(lab: &dyn Lab) -> Result<()> {
    let run = async |(name, run): &(&'static str, Run)| {
        let outcome = run(Case::new(lab, name)).await;
        let outcome = outcome.err().map(|error| format!("{name}: {error:#}"));
        eprintln!("{} {name}", if outcome.is_none() { "kept  " } else { "BROKEN" });
        outcome
    };
    let broken = futures::stream::iter(CASES).map(run).buffer_unordered(4);
    let mut broken: Vec<String> = broken.filter_map(|outcome| async { outcome }).collect().await;
    for case in ENGINE_CASES {
        broken.extend(run(case).await);
    }
    ensure!(
        broken.is_empty(),
        "{} broken:\n{}\n{}",
        broken.len(),
        broken.join("\n"),
        lab.evidence()
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_simulated_engine_keeps_the_contract() -> Result<()> {
    keep_the_contract(&SimLab::new()).await
}

#[tokio::test]
async fn dockerd_keeps_the_contract() -> Result<()> {
    let Some(lab) = DockerLab::start().await? else {
        return Ok(());
    };
    keep_the_contract(&lab).await
}
