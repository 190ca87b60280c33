//! What must come before what.

use std::collections::BTreeSet;

use super::{Checker, makes, replay};
use crate::names::ContainerKey;
use crate::step::{Action, Reason};

impl Checker<'_> {
    pub(super) fn pulls(&mut self) {
        let mut pulled: BTreeSet<ContainerKey> = BTreeSet::new();
        let mut disturbed = false;
        for (i, step) in self.plan.steps.iter().enumerate() {
            match (&step.action, step.container()) {
                (Action::PullImage { container, .. }, _) => {
                    if disturbed {
                        let words = "something was stopped before this image was there".to_owned();
                        self.report(Some(i), "pull", words);
                    }
                    pulled.insert(ContainerKey::new(step.workload.clone(), container.clone()));
                }
                (Action::StopContainer { .. } | Action::RemoveContainer { .. }, _) => {
                    disturbed |= step.reason != Reason::Duplicate;
                }
                (_, Some(key)) if makes(step) => {
                    disturbed = true;
                    if !pulled.contains(&key) {
                        self.report(
                            Some(i),
                            "pull",
                            format!("the image of {key} was not pulled before"),
                        );
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn dependencies(&mut self) {
        let mut made: BTreeSet<ContainerKey> = BTreeSet::new();
        let makers = || self.plan.steps.iter().enumerate().filter(|(_, s)| makes(s));
        let all: BTreeSet<ContainerKey> = makers().filter_map(|(_, s)| s.container()).collect();
        for (i, step) in makers() {
            let Some(key) = step.container() else { continue };
            let Some((workload, _)) = self.container(&key) else {
                continue;
            };
            let before = replay::transitive_dependencies(workload, &key.container);
            if before.contains(&key.container) {
                self.report(Some(i), "dependency", format!("{key} depends on itself"));
            }
            for name in before {
                let on = ContainerKey::new(key.workload.clone(), name);
                if all.contains(&on) && !made.contains(&on) && on != key {
                    self.report(
                        Some(i),
                        "dependency",
                        format!("{key} depends on {on}, which is made later"),
                    );
                }
            }
            made.insert(key);
        }
    }
}
