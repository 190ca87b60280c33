//! A report that fits into a message, however much there is to say.
//!
//! A report is always the whole snapshot: of one that lacked containers a controller would conclude that
//! they are gone. So only what nobody decides by is left out, the least useful first; where that is not
//! enough the report says that the device cannot be seen, and why, and shows no container at all.

use longshore_bus::codec;
use longshore_bus::envelope::{MAX_ENVELOPE, Report};
use longshore_plan::observed::{Observed, RuntimeState};

use crate::answers::cut;

/// How much of each failure's words is left.
const FEW_WORDS: usize = 96;

/// What may be left out, in this order.
const OMISSIONS: [fn(&mut Observed); 3] = [
    |observed| {
        for failure in &mut observed.failures {
            failure.message = cut(&failure.message, FEW_WORDS);
        }
    },
    |observed| {
        for container in &mut observed.containers {
            container.started_at.clear();
            container.image_id.clear();
        }
    },
    // A port that a stranger holds is found out by the agent itself before it stops anything.
    |observed| observed.unmanaged.clear(),
];

/// The report as it can be sent, and whether anything had to be left out.
pub(super) fn fitted(mut report: Report) -> (Report, bool) {
    let Err(whole) = codec::encode(&report) else {
        return (report, false);
    };
    for omit in OMISSIONS {
        omit(&mut report.observed);
        if codec::encode(&report).is_ok() {
            return (report, true);
        }
    }
    let message = format!(
        "the report of this device's {} containers takes {} bytes, and a message may have {MAX_ENVELOPE}: \
         nothing can be decided for it until it has fewer",
        report.observed.containers.len(),
        whole.size
    );
    report.observed = Observed {
        runtime: RuntimeState::Unavailable { message },
        ..Observed::default()
    };
    (report, true)
}

#[cfg(test)]
mod tests {
    use longshore_plan::desired::DesiredSet;
    use longshore_plan::hash::digest_hex;
    use longshore_plan::observed::{Failure, FailureReason, HostPort, Retry, Unmanaged};
    use longshore_plan::spec::Protocol;
    use uuid::Uuid;

    use super::*;
    use crate::fixtures::{container, observed_from, workload};

    /// A device with so many containers, and on each a failure of so many bytes.
    fn device(containers: usize, words: usize) -> Report {
        let workloads = (0..containers).map(|n| {
            let name = format!("workload-{n:03}");
            workload(&name, vec![container(&name, "web", "registry.example/hello:1")])
        });
        let desired = DesiredSet {
            workloads: workloads.collect(),
            ..DesiredSet::default()
        };
        let mut observed = observed_from(&desired);
        for container in &mut observed.containers {
            container.id.0 = digest_hex(&container.id);
            container.image_id = format!("sha256:{}", container.id);
            observed.failures.push(Failure {
                key: container.key.clone(),
                hash: container.hash.clone(),
                config_digest: digest_hex(&container.config),
                reason: FailureReason::UpdateFailed,
                message: "é".repeat(words / 2),
                retry: Retry::Waiting,
                attempts: 3,
            });
        }
        observed.unmanaged = (0..64)
            .map(|n| Unmanaged {
                name: format!("stranger-{n}"),
                host_ports: vec![HostPort {
                    port: n,
                    protocol: Protocol::Tcp,
                }],
            })
            .collect();
        Report {
            version: longshore_bus::envelope::VERSION,
            session: Uuid::nil(),
            seq: 1,
            state_hash: String::new(),
            fence: None,
            desired_digest: String::new(),
            busy: false,
            observed,
            drift: Vec::new(),
        }
    }

    #[test]
    fn what_fits_is_sent_as_it_is() {
        let report = device(50, 512);
        assert_eq!(fitted(report.clone()), (report, false));
    }

    /// How much was left out: nothing, words of failures, starts and images, strangers, everything.
    fn left_out(sent: &Observed) -> usize {
        let parts = [
            sent.failures.iter().all(|f| f.message.len() <= FEW_WORDS),
            sent.containers
                .iter()
                .all(|c| c.started_at.is_empty() && c.image_id.is_empty()),
            sent.unmanaged.is_empty(),
            sent.containers.is_empty(),
        ];
        let left_out = parts.iter().filter(|part| **part).count();
        assert!(
            parts[..left_out].iter().all(|part| *part),
            "in this order: {parts:?}"
        );
        left_out
    }

    #[test]
    fn what_nobody_decides_by_is_left_out_first_and_no_container_ever_alone() {
        let mut seen = Vec::new();
        for containers in (90..330).step_by(3) {
            let report = device(containers, 512);
            let whole = codec::encode(&report).is_ok();
            let (sent, less) = fitted(report.clone());
            assert!(codec::encode(&sent).is_ok());
            assert_eq!(less, !whole);
            let left_out = left_out(&sent.observed);
            seen.push(left_out);
            if left_out == 4 {
                let RuntimeState::Unavailable { message } = &sent.observed.runtime else {
                    panic!("{:?}", sent.observed.runtime)
                };
                let count = format!("{containers} containers");
                assert!(message.contains(&count), "{message}");
                let nothing = longshore_plan::plan(&DesiredSet::default(), &sent.observed).steps;
                assert!(nothing.is_empty());
                continue;
            }
            // What plans are made from is whole.
            let decided_by = |observed: &Observed| {
                let mut same = observed.clone();
                same.unmanaged.clear();
                same.failures.iter_mut().for_each(|f| f.message.clear());
                same.containers.iter_mut().for_each(|c| {
                    c.started_at.clear();
                    c.image_id.clear();
                });
                same
            };
            assert_eq!(decided_by(&sent.observed), decided_by(&report.observed));
        }
        assert!(seen.is_sorted(), "{seen:?}");
        seen.dedup();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
}
