//! (c) Reports that ask for nothing: how many a controller gets through on one core.
//!
//! The whole controller runs on one thread and is fed reports of devices that have what they should have.
//! The digest in each differs from the one before, so each is read, decided and planned upon, and nothing
//! comes of it: no plan, no write. Its time is the processor time of that thread.
//!
//! The baseline is `serde_json` reading the same bytes into the same type. A controller cannot do with
//! less, so the ratio says what deciding costs beside merely listening.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use longshore_bus::envelope::Report;
use longshore_tests::harness::objects::SOON;
use tokio::time::timeout;

use crate::fixtures;
use crate::measure::{Effort, Outcome, Row, cpu_since, cpu_time, seconds_per_call};
use crate::rig::{Keeping, Rig};
use crate::twin::Twin;

/// How many devices report in one turn. Fewer than the bus queues.
const DEVICES: u32 = 32;

/// Measures it.
pub(crate) fn measure(effort: Effort) -> Result<Outcome> {
    let mut rows = Vec::new();
    for containers in [5, 50] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("starting a runtime")?;
        rows.push(runtime.block_on(turns(containers, effort))?);
    }
    Ok(Outcome::Rows(rows))
}

async fn turns(containers: usize, effort: Effort) -> Result<Row> {
    let rig = Rig::start(Keeping::InMemory).await?;
    let mut twins = settled_fleet(&rig, containers).await?;
    let length = twins[0].next_report(Some("0"))?.len();
    let mut row = Row::new(
        format!("no-op reconcile, device of {containers} containers"),
        format!("serde_json reading the same report, {:.1} kB", kilobytes(length)),
        "µs",
    );
    let before = Totals::of(&rig);
    for turn in 0..effort.pick(10, 100) {
        let digest = format!("{turn:032}");
        let reports = twins.iter_mut().map(|twin| twin.next_report(Some(&digest)));
        let reports: Vec<Bytes> = reports.collect::<Result<_>>()?;
        let wanted = rig.controller.counters().decisions.get() + u64::from(DEVICES);
        let begun = cpu_time();
        for (twin, report) in twins.iter().zip(&reports) {
            twin.send_report(report.clone()).await?;
        }
        timeout(SOON, async {
            while rig.controller.counters().decisions.get() < wanted {
                tokio::task::yield_now().await;
            }
        })
        .await
        .context("the controller does not come to its end")?;
        let took = cpu_since(begun);
        row.ours.push(micros(took) / f64::from(DEVICES));

        let mut each = reports.iter().cycle();
        let reading = seconds_per_call(DEVICES, || {
            each.next().map(|report| serde_json::from_slice::<Report>(report))
        });
        row.baseline.push(reading * 1e6);
    }
    let after = Totals::of(&rig);
    ensure!(before == after, "not a no-op: {before:?} became {after:?}");
    row.notes.push(format!(
        "{:.0} no-op reconciles per second and core; {DEVICES} devices; 0 plans and 0 writes came of them",
        1e6 / row.ours.percentile(50)
    ));
    rig.stop().await?;
    Ok(row)
}

/// What must not move.
#[derive(Debug, PartialEq, Eq)]
struct Totals {
    plans: u64,
    writes: u64,
}

impl Totals {
    fn of(rig: &Rig) -> Self {
        let counters = rig.controller.counters();
        Self {
            plans: counters.plans_sent.get(),
            writes: counters.api_writes.get(),
        }
    }
}

/// Devices that have what they should have, and a controller that has said so and has nothing left to do.
async fn settled_fleet(rig: &Rig, containers: usize) -> Result<Vec<Twin>> {
    let names: Vec<String> = (0..DEVICES).map(|number| format!("dev{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shares = fixtures::shares(containers);
    for (workload, share) in &shares {
        rig.objects
            .apply(&fixtures::workload(workload, &names, "server:1", *share))
            .await?;
    }
    let mut tasks = Vec::new();
    for name in &names {
        let id = rig.declare_device(name).await?;
        let mut twin = Twin::connect(id.clone(), rig.connect(&id)).await?;
        let complete = shares.len();
        tasks.push(tokio::spawn(async move {
            // Until it was told everything.
            while twin.next_plan().await?.plan.desired.workloads.len() < complete {}
            anyhow::Ok(twin)
        }));
    }
    let mut twins = Vec::new();
    for task in tasks {
        twins.push(
            timeout(SOON, task)
                .await
                .context("a device has no whole plan")???,
        );
    }
    for (workload, _) in &shares {
        rig.objects.ready(workload).await?;
    }
    quiet(rig).await?;
    Ok(twins)
}

/// Waits until the controller has written nothing for a while.
async fn quiet(rig: &Rig) -> Result<()> {
    let settling = async {
        loop {
            let before = Totals::of(rig);
            tokio::time::sleep(Duration::from_secs(2)).await;
            if Totals::of(rig) == before {
                return;
            }
        }
    };
    timeout(SOON, settling)
        .await
        .context("the controller does not come to rest")
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn kilobytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e3
}
