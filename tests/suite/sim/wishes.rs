//! What the user of the site wants: the model the outcome is judged by. It knows nothing of how the wishes
//! are brought about.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::site::DEVICE;

/// The label of a container that tells one spec from another.
pub(super) const NOTE: &str = "note";

/// An image of the simulated registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Image {
    /// Runs well; 1 to 4 differ in how long they take.
    Good(u8),
    /// Runs, and its probes fail.
    Sick,
    /// Exits after a second, every time.
    Crashing,
    /// The engine cannot start it.
    NoStart,
    /// The engine refuses to make a container of it.
    NoCreate,
    /// No registry has it.
    Absent,
}

impl Image {
    pub(super) fn reference(self) -> String {
        match self {
            Self::Good(n) => format!("app:{n}"),
            Self::Sick => "app:sick".to_owned(),
            Self::Crashing => "app:crashing".to_owned(),
            Self::NoStart => "app:nostart".to_owned(),
            Self::NoCreate => "app:nocreate".to_owned(),
            Self::Absent => "app:absent".to_owned(),
        }
    }

    pub(super) fn is_good(self) -> bool {
        matches!(self, Self::Good(_))
    }

    /// A change to it fails before anything of the old container is touched.
    pub(super) fn fails_early(self) -> bool {
        matches!(self, Self::NoCreate | Self::Absent)
    }
}

/// A restart policy, as manifests write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Always,
    UnlessStopped,
    OnFailure,
}

/// One container of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: &'static str,
    pub(super) image: Image,
    /// A label of the container: another value is another spec.
    pub(super) note: u32,
    /// MiB; changes in place.
    pub(super) memory: u32,
    /// Changes in place.
    pub(super) policy: Policy,
    pub(super) readiness: bool,
    pub(super) liveness: bool,
    pub(super) depends_on: Option<&'static str>,
    /// Mounts the workload's volume.
    pub(super) mounts: bool,
}

impl Wanted {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            image: Image::Good(1),
            note: 0,
            memory: 64,
            policy: Policy::Always,
            readiness: true,
            liveness: false,
            depends_on: None,
            mounts: false,
        }
    }

    /// The image, where it does what it is called for: without a probe nobody sees that it is sick.
    pub(super) fn effective(&self) -> Image {
        match self.image {
            Image::Sick if !self.readiness || self.liveness => Image::Crashing,
            image => image,
        }
    }

    fn manifest(&self) -> Value {
        let mut container = json!({
            "name": self.name,
            "image": self.effective().reference(),
            "labels": {NOTE: self.note.to_string()},
            "resources": {"limits": {"memory": format!("{}Mi", self.memory)}},
            "restartPolicy": format!("{:?}", self.policy),
            "stopGracePeriodSeconds": 3,
        });
        let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 2});
        if self.readiness {
            container["readinessProbe"] = probe.clone();
        }
        if self.liveness {
            container["livenessProbe"] = probe;
            container["livenessProbe"]["failureThreshold"] = json!(5);
        }
        if let Some(on) = self.depends_on {
            container["dependsOn"] = json!([{"container": on, "condition": "started"}]);
        }
        if self.mounts {
            container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        }
        container
    }
}

/// How a workload is there, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Never declared yet.
    Unborn,
    Declared,
    /// Deleted by its user: its containers go.
    Deleted,
    /// Gone without anybody's word about its containers: they stay.
    Missing,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    pub(super) containers: Vec<Wanted>,
    /// With an init container that runs once.
    pub(super) prepares: bool,
    pub(super) suspend: bool,
    pub(super) keeps_failed: bool,
    pub(super) retry: u32,
    /// The named volume outlives the workload.
    pub(super) retains: bool,
}

impl Wish {
    fn new(name: &'static str, containers: Vec<Wanted>) -> Self {
        Self {
            name,
            presence: Presence::Unborn,
            containers,
            prepares: false,
            suspend: false,
            keeps_failed: false,
            retry: 0,
            retains: true,
        }
    }

    pub(super) fn container(&self, name: &str) -> Option<&Wanted> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// Whether the container and all it waits for can come up.
    pub(super) fn can_run(&self, container: &Wanted) -> bool {
        container.image.is_good()
            && container
                .depends_on
                .is_none_or(|on| self.container(on).is_some_and(|on| self.can_run(on)))
    }

    /// Whether everything about it is as it should be in the end.
    pub(super) fn is_sound(&self) -> bool {
        self.containers.iter().all(|c| c.image.is_good())
    }

    pub(super) fn mounts(&self) -> bool {
        self.containers.iter().any(|c| c.mounts)
    }

    pub(super) fn manifest(&self) -> Value {
        let mut template = json!({
            "containers": self.containers.iter().map(Wanted::manifest).collect::<Vec<_>>(),
        });
        if self.prepares {
            template["initContainers"] = json!([{"name": "prepare", "image": "job:1"}]);
        }
        if self.mounts() {
            let policy = if self.retains { "Retain" } else { "Delete" };
            template["volumes"] = json!([{"name": "data", "namedVolume": {"reclaimPolicy": policy}}]);
        }
        json!({
            "apiVersion": "longshore.dev/v1alpha1",
            "kind": "Workload",
            "metadata": {
                "name": self.name,
                "annotations": {longshore_crds::workload::RETRY_ANNOTATION: self.retry.to_string()},
            },
            "spec": {
                "targets": [{"device": DEVICE}],
                "template": template,
                "suspend": self.suspend,
                "rollout": {
                    "minReadySeconds": 2,
                    "progressDeadlineSeconds": 15,
                    "onFailure": if self.keeps_failed { "Continue" } else { "Rollback" },
                },
            },
        })
    }
}

/// One container of the site, by the names of its workload and itself.
pub(super) type Key = (&'static str, &'static str);

/// All wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) workloads: Vec<Wish>,
    pub(super) paused: bool,
    /// Containers about which anything happened since the last time all was well that may have restarted
    /// them: a new spec, a hand on them, a workload's end.
    pub(super) touched: BTreeSet<Key>,
    /// Those of them that a hand was laid on.
    pub(super) touched_by_hand: BTreeSet<Key>,
    /// Those whose container may be gone for good: removed, or asked to end by hand, or deleted.
    pub(super) given_up: BTreeSet<Key>,
    /// The same for everything: the engine fell, or refused something.
    pub(super) all_touched: bool,
    /// How often each container was asked for anew since then.
    pub(super) asked: Vec<Key>,
}

impl Wishes {
    /// Two workloads: one of two containers that belong together, one of a single container.
    pub(super) fn new(variant: u32) -> Self {
        let bit = |n: u32| variant >> n & 1 == 1;
        let mut db = Wanted::new("db");
        db.mounts = bit(0) || bit(11);
        db.readiness = bit(1);
        let mut web = Wanted::new("web");
        web.depends_on = bit(2).then_some("db");
        web.liveness = bit(3);
        let mut alpha = Wish::new("alpha", vec![web, db]);
        alpha.prepares = bit(4);
        alpha.keeps_failed = bit(5) && bit(6);
        alpha.retains = bit(7) || bit(12);
        let mut solo = Wanted::new("app");
        solo.readiness = bit(8);
        solo.mounts = bit(9) || bit(13);
        let mut beta = Wish::new("beta", vec![solo]);
        beta.retains = bit(10) || bit(14);
        Self {
            workloads: vec![alpha, beta],
            paused: false,
            touched: BTreeSet::new(),
            touched_by_hand: BTreeSet::new(),
            given_up: BTreeSet::new(),
            all_touched: false,
            asked: Vec::new(),
        }
    }

    /// Whether everything that is declared can come up.
    pub(super) fn are_sound(&self) -> bool {
        let mut declared = self.workloads.iter().filter(|w| w.presence == Presence::Declared);
        declared.all(Wish::is_sound)
    }

    /// The container that a number picks among those that could be declared.
    pub(super) fn pick(&self, pick: u32) -> (usize, usize) {
        let all: Vec<(usize, usize)> = self
            .workloads
            .iter()
            .enumerate()
            .flat_map(|(w, wish)| (0..wish.containers.len()).map(move |c| (w, c)))
            .collect();
        all[pick as usize % all.len()]
    }

    /// The workload that a number picks.
    pub(super) fn pick_workload(&self, pick: u32) -> usize {
        pick as usize % self.workloads.len()
    }

    /// The same, if it is declared.
    pub(super) fn declared(&self, pick: u32) -> Option<usize> {
        let w = self.pick_workload(pick);
        (self.workloads[w].presence == Presence::Declared).then_some(w)
    }

    pub(super) fn touch_workload(&mut self, workload: usize) {
        let wish = &self.workloads[workload];
        self.touched
            .extend(wish.containers.iter().map(|c| (wish.name, c.name)));
        self.touched.insert((wish.name, "prepare"));
    }

    pub(super) fn give_up_workload(&mut self, workload: usize) {
        let wish = &self.workloads[workload];
        self.given_up
            .extend(wish.containers.iter().map(|c| (wish.name, c.name)));
    }

    /// The workload is declared anew: each of its containers may be made once.
    pub(super) fn ask_for_all(&mut self, workload: usize) {
        let wish = &self.workloads[workload];
        self.asked
            .extend(wish.containers.iter().map(|c| (wish.name, c.name)));
        self.asked.push((wish.name, "prepare"));
    }

    /// All is well: from here on nothing may be restarted without another cause.
    pub(super) fn settle(&mut self) {
        self.touched.clear();
        self.touched_by_hand.clear();
        self.given_up.clear();
        self.all_touched = false;
        self.asked.clear();
    }
}
