use longshore_plan::names::DnsLabel;

use super::*;
use crate::fixtures::{hello, key, label};
use crate::storage::MemoryStorage;

fn network(name: &str) -> Record {
    Record::NetworkOwned {
        name: name.to_owned(),
        workload: label("hello"),
    }
}

fn gone(name: &str) -> Record {
    Record::NetworkGone {
        name: name.to_owned(),
    }
}

async fn open(disk: &MemoryStorage) -> (Ledger, Found) {
    Ledger::open(Storage::Memory(disk.clone()), "now").await.unwrap()
}

/// The networks that another life would know.
async fn known(disk: &MemoryStorage) -> Vec<String> {
    let (ledger, found) = open(disk).await;
    assert_eq!(found, Found::Whole);
    ledger.state().networks.keys().cloned().collect()
}

/// Appends until the log was compacted once more.
async fn grow(ledger: &Ledger) {
    let name = "n".repeat(16 * 1024);
    let mut length = 0;
    loop {
        ledger.append(vec![network(&name), gone(&name)]).await.unwrap();
        let now = ledger.writer.lock().await.at;
        if now < length {
            return;
        }
        assert!(now < 2 * COMPACT_AFTER, "not compacted at {now} bytes");
        length = now;
    }
}

#[tokio::test]
async fn what_was_appended_is_known_to_the_next_life() {
    let disk = MemoryStorage::new();
    let (ledger, found) = open(&disk).await;
    assert_eq!(found, Found::Nothing);
    ledger.append(vec![network("a"), network("b")]).await.unwrap();
    ledger.append(vec![gone("a")]).await.unwrap();
    ledger.append(Vec::new()).await.unwrap();
    assert!(!ledger.append_if(|_| None).await.unwrap());
    let state = ledger.state();
    drop(ledger);
    let (again, found) = open(&disk).await;
    assert_eq!(found, Found::Whole);
    assert_eq!(again.state(), state);
    assert_eq!(known(&disk).await, ["b"]);
}

#[tokio::test]
async fn a_torn_end_takes_the_whole_of_what_was_appended_last_and_nothing_else() {
    let disk = MemoryStorage::new();
    let (ledger, _) = open(&disk).await;
    ledger.append(vec![network("a")]).await.unwrap();
    let whole = disk.read(FILE).unwrap().len();
    ledger.append(vec![network("b"), network("c")]).await.unwrap();
    let all = disk.read(FILE).unwrap();
    for end in whole..=all.len() {
        disk.put(FILE, all[..end].to_vec());
        let expected: &[&str] = if end == all.len() {
            &["a", "b", "c"]
        } else {
            &["a"]
        };
        assert_eq!(known(&disk).await, expected, "{end} of {} bytes", all.len());
        // And the next record goes where the torn one was.
        let (ledger, _) = open(&disk).await;
        ledger.append(vec![network("d")]).await.unwrap();
        assert_eq!(known(&disk).await.last().unwrap(), "d");
    }
}

#[tokio::test]
async fn damage_before_the_end_is_no_torn_end_and_the_file_is_kept() {
    let disk = MemoryStorage::new();
    let (ledger, _) = open(&disk).await;
    let snapshot = disk.read(FILE).unwrap().len();
    ledger.append(vec![network("a")]).await.unwrap();
    let first = disk.read(FILE).unwrap().len();
    ledger.append(vec![network("b")]).await.unwrap();
    let all = disk.read(FILE).unwrap();
    let flipped = |at: usize| {
        let mut bytes = all.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let mut twice = all.clone();
    twice.extend_from_slice(&all);
    let cases = [
        ("the checksum of the snapshot", flipped(0)),
        ("the snapshot", flipped(snapshot / 2)),
        ("a record", flipped(usize::midpoint(snapshot, first))),
        ("no snapshot", all[snapshot..].to_vec()),
        ("a second snapshot", twice),
        ("nothing at all", Vec::new()),
    ];
    for (what, bytes) in cases {
        let disk = MemoryStorage::new();
        disk.put(FILE, bytes.clone());
        let (ledger, found) = open(&disk).await;
        let moved_to = "/memory/ledger.corrupt-now".to_owned();
        assert_eq!(found, Found::Corrupt { moved_to }, "{what}");
        assert_eq!(disk.read("ledger.corrupt-now"), Some(bytes), "{what}");
        assert_eq!(*ledger.state(), LedgerState::default(), "{what}");
        ledger.append(vec![network("c")]).await.unwrap();
        assert_eq!(known(&disk).await, ["c"], "{what}");
    }
}

#[tokio::test]
async fn its_size_is_bounded_by_that_of_the_state() {
    let disk = MemoryStorage::new();
    let (ledger, _) = open(&disk).await;
    ledger.append(vec![network("a")]).await.unwrap();
    for _ in 0..3 {
        grow(&ledger).await;
        assert!(disk.read(FILE).unwrap().len() < 1024);
    }
    assert_eq!(known(&disk).await, ["a"]);
}

#[tokio::test]
async fn what_was_refused_is_neither_known_now_nor_in_the_next_life() {
    let disk = MemoryStorage::new();
    let (ledger, _) = open(&disk).await;
    ledger.append(vec![network("a")]).await.unwrap();
    disk.set_full(true);
    let refused = ledger.append(vec![network("b"), network("c")]).await;
    assert!(matches!(refused, Err(LedgerError::Append { .. })));
    assert_eq!(ledger.state().networks.len(), 1);
    assert_eq!(known(&disk).await, ["a"]);
    disk.set_full(false);
    ledger.append(vec![network("d")]).await.unwrap();
    assert_eq!(known(&disk).await, ["a", "d"]);
}

#[tokio::test]
async fn a_compaction_that_a_full_disk_refuses_costs_nothing_but_space() {
    let disk = MemoryStorage::new();
    let (ledger, _) = open(&disk).await;
    {
        let mut writer = ledger.writer.lock().await;
        disk.set_full(true);
        ledger.compact(&mut writer).await;
        disk.set_full(false);
    }
    ledger.append(vec![network("a")]).await.unwrap();
    assert_eq!(known(&disk).await, ["a"]);
}

#[tokio::test]
async fn what_was_recorded_outlives_a_power_loss_after_a_compaction_that_did_not_settle() {
    let disk = MemoryStorage::new();
    let (ledger, _) = open(&disk).await;
    ledger.append(vec![network("a")]).await.unwrap();
    disk.set_unsettling(true);
    grow(&ledger).await;
    // The new file is there, yet its place may be lost with the power: nothing is recorded in it.
    assert!(ledger.append(vec![network("b")]).await.is_err());
    assert_eq!(ledger.state().networks.len(), 1);
    disk.set_unsettling(false);
    ledger.append(vec![network("c")]).await.unwrap();
    disk.lose_power();
    assert_eq!(known(&disk).await, ["a", "c"]);
}

#[tokio::test]
async fn a_power_loss_before_that_brings_back_the_old_file_with_all_it_had() {
    let disk = MemoryStorage::new();
    let (ledger, _) = open(&disk).await;
    ledger.append(vec![network("a")]).await.unwrap();
    disk.set_unsettling(true);
    grow(&ledger).await;
    drop(ledger);
    // A life that ends here leaves it to the next one, which knows nothing of it.
    let (next, _) = open(&disk).await;
    assert!(next.append(vec![network("b")]).await.is_err());
    disk.lose_power();
    assert_eq!(known(&disk).await, ["a"]);
}

#[test]
fn the_state_remembers_a_bounded_number_of_outcomes_for_a_day() {
    let outcome = |at| CommandOutcome {
        status: longshore_bus::envelope::Status::Succeeded,
        code: 200,
        error: None,
        at,
    };
    let id = |n: u128| uuid::Uuid::from_u128(n).to_string();
    let ended = |n: u128, at| Record::StepEnded {
        id: id(n),
        outcome: longshore_plan::step::StepOutcome::Done { changed: true },
        at,
    };
    let day = 24 * 3600;
    let mut state = LedgerState::default();
    for n in 0..600 {
        state.apply(ended(n, 1000));
    }
    assert_eq!(state.outcomes.len(), 512);
    assert_eq!(
        state.outcomes.keys().next().unwrap().to_string(),
        id(88),
        "the oldest go"
    );
    assert_eq!(state.outcomes.values().next(), Some(&outcome(1000)));
    state.apply(ended(700, 1000 + day));
    assert_eq!(state.outcomes.len(), 512);
    state.apply(ended(701, 1001 + day));
    assert_eq!(state.outcomes.len(), 2);
}

#[test]
fn a_failure_is_counted_until_its_declaration_changes_or_a_retry_is_asked_for() {
    let wanted = hello("hello:1").workloads[0].containers[0].clone();
    let failed = |digest: &str| {
        Record::Failed(FailureRecord {
            key: key("hello", "web"),
            hash: wanted.hash.clone(),
            config_digest: digest.to_owned(),
            reason: longshore_plan::observed::FailureReason::Unhealthy,
            message: String::new(),
            blocked: true,
            attempts: 0,
            stops: 0,
        })
    };
    let attempts = |state: &LedgerState| state.failures.values().map(|f| f.attempts).collect::<Vec<_>>();
    let accepted = |n: u64, image: &str, retry: Option<&str>| {
        let mut desired = hello(image);
        desired.workloads[0].retry = retry.map(str::to_owned);
        Record::Accepted {
            command: Box::new(longshore_plan::step::PlanCommand {
                desired,
                steps: Vec::new(),
                fence: longshore_plan::step::Fence {
                    site: "site-a".to_owned(),
                    epoch: 1,
                    n,
                },
            }),
            correlation_id: longshore_bus::envelope::CorrelationId(uuid::Uuid::from_u128(u128::from(n))),
            response_topic: String::new(),
            at: 0,
        }
    };
    let digest = longshore_plan::hash::config_digest(&wanted.config);
    for (what, then, left) in [
        ("the same again", accepted(2, "hello:1", None), vec![2]),
        ("another image", accepted(2, "hello:2", None), vec![]),
        ("a retry", accepted(2, "hello:1", Some("now")), vec![]),
        ("another configuration tried", failed("other"), vec![1]),
        (
            "healed",
            Record::Healed {
                key: key("hello", "web"),
                hash: wanted.hash.clone(),
            },
            vec![],
        ),
        (
            "forgotten",
            Record::Forgotten {
                key: key("hello", "web"),
            },
            vec![],
        ),
    ] {
        let mut state = LedgerState::default();
        state.apply(accepted(1, "hello:1", None));
        state.apply(failed(&digest));
        state.apply(failed(&digest));
        assert_eq!(attempts(&state), [2]);
        state.apply(then);
        assert_eq!(attempts(&state), left, "{what}");
    }
    // The same token is no new request.
    let mut state = LedgerState::default();
    state.apply(accepted(1, "hello:1", Some("now")));
    state.apply(failed(&digest));
    state.apply(accepted(2, "hello:1", Some("now")));
    assert_eq!(attempts(&state), [1]);
}

#[test]
fn no_record_out_of_place_makes_the_fold_panic() {
    let mut state = LedgerState::default();
    let workload: DnsLabel = label("hello");
    for record in [
        Record::PlanEnded {
            outcome: crate::answers::cancelled(1),
        },
        Record::StepEnded {
            id: "no uuid".to_owned(),
            outcome: longshore_plan::step::StepOutcome::Done { changed: true },
            at: 0,
        },
        Record::ReplacePhase(ReplacePhase::Creating),
        Record::ReplaceEnded,
        Record::Completed {
            key: key("hello", "web"),
        },
        Record::ContainerGone {
            id: longshore_plan::names::EngineId("x".to_owned()),
        },
        Record::NetworkGone {
            name: workload.to_string(),
        },
        Record::Together(Vec::new()),
    ] {
        state.apply(record);
    }
    assert_eq!(state, LedgerState::default());
}
