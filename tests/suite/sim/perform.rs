//! Doing what a schedule says, on the site and in the model of the wishes.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use longshore_agent::labels;
use longshore_agent::runtime::Runtime as _;
use longshore_agent::runtime::sim::{Behaviour, SimImage, SimMachine, by_hand};
use longshore_agent::runtime::{ContainerDetail, RuntimeErrorKind};
use longshore_bus::memory::Faults;
use longshore_plan::desired::{DesiredVolume, ReclaimPolicy};
use longshore_plan::spec::{Resources, RestartPolicy};
use serde_json::json;

use super::act::Act;
use super::site::{CONTROLLER, DEVICE, Mend, Site, device, site_uid};
use super::wishes::{Image, Presence, Wanted, Wishes};

/// What is on the device and none of ours: a network, a volume, and later containers.
pub(super) const THEIRS: &str = "theirs";
/// A container run by hand from a committed image of ours, so that it carries our labels.
pub(super) const COPYCAT: &str = "copycat";

/// Fills the registry, and the device with what is not ours.
pub(super) async fn prepare(machine: &SimMachine) {
    let seconds = Duration::from_secs;
    let good = [
        Behaviour::default(),
        Behaviour::ready_after(seconds(3)),
        Behaviour::stubborn(),
        Behaviour {
            stop_takes: seconds(1),
            ..Behaviour::ready_after(seconds(8))
        },
    ];
    for (n, behaviour) in (1..).zip(good) {
        publish(machine, Image::Good(n), behaviour);
    }
    publish(machine, Image::Sick, Behaviour::sick());
    publish(machine, Image::Crashing, Behaviour::exits(1, seconds(1)));
    let refused = Some(RuntimeErrorKind::Invalid);
    publish(
        machine,
        Image::NoStart,
        Behaviour {
            start_error: refused,
            ..Behaviour::default()
        },
    );
    publish(
        machine,
        Image::NoCreate,
        Behaviour {
            create_error: refused,
            ..Behaviour::default()
        },
    );
    machine.publish("job:1", SimImage::new("job", Behaviour::exits(0, seconds(2))));
    machine.create_network_by_hand(THEIRS, None).unwrap();
    let volume = DesiredVolume {
        name: THEIRS.to_owned(),
        driver: None,
        options: std::collections::BTreeMap::new(),
        reclaim: ReclaimPolicy::Retain,
    };
    machine
        .runtime()
        .create_volume(&volume, &std::collections::BTreeMap::new())
        .await
        .unwrap();
    let request = by_hand(THEIRS, THEIRS);
    machine.load(THEIRS, SimImage::new(THEIRS, Behaviour::default()));
    machine.run(&request).unwrap();
}

fn publish(machine: &SimMachine, image: Image, behaviour: Behaviour) {
    let reference = image.reference();
    machine.publish(&reference, SimImage::new(&reference, behaviour));
}

/// Performs one act.
pub(super) async fn perform(site: &mut Site, wishes: &mut Wishes, act: &Act) {
    match act {
        Act::Declare { workload } => declare(site, wishes, *workload).await,
        Act::NewImage { of, image } => change(site, wishes, *of, |c| c.image = *image).await,
        Act::NewNote { of, note } => change(site, wishes, *of, |c| c.note = *note).await,
        Act::Memory { of, mebibytes } => change(site, wishes, *of, |c| c.memory = *mebibytes).await,
        Act::Policy { of, policy } => change(site, wishes, *of, |c| c.policy = *policy).await,
        Act::Suspend { workload, suspend } => {
            if let Some(w) = wishes.declared(*workload) {
                wishes.workloads[w].suspend = *suspend;
                apply(site, wishes, w).await;
            }
        }
        Act::Retry { workload } => {
            if let Some(w) = wishes.declared(*workload) {
                retry(site, wishes, w).await;
            }
        }
        Act::Delete { workload } => {
            if let Some(w) = wishes.declared(*workload) {
                delete(site, wishes, w).await;
            }
        }
        Act::Lose { workload } => {
            if let Some(w) = wishes.declared(*workload) {
                lose(site, wishes, w).await;
            }
        }
        Act::PauseDevice { paused } => pause_device(site, wishes, *paused).await,
        Act::RemoveByHand { of } => {
            let name = lay_a_hand_on(wishes, *of, Hand::Ends);
            drop(site.machine.remove_by_hand(&name));
        }
        Act::StopByHand { of } => {
            let name = lay_a_hand_on(wishes, *of, Hand::Ends);
            drop(site.machine.stop_by_hand(&name));
        }
        Act::ExitByItself { of, code } => {
            let name = lay_a_hand_on(wishes, *of, Hand::Ends);
            drop(site.machine.exit(&name, *code, false));
        }
        Act::PauseByHand { of } => {
            let name = lay_a_hand_on(wishes, *of, Hand::Changes);
            drop(site.machine.pause_by_hand(&name));
        }
        Act::RenameByHand { of } => {
            let name = lay_a_hand_on(wishes, *of, Hand::Changes);
            drop(site.machine.rename_by_hand(&name, &format!("{name}-renamed")));
        }
        Act::UpdateByHand { of } => {
            let name = lay_a_hand_on(wishes, *of, Hand::Changes);
            let resources = Resources::default();
            drop(
                site.machine
                    .update_by_hand(&name, RestartPolicy::Never, &resources),
            );
        }
        Act::DisconnectByHand { of } => {
            let (w, _) = wishes.pick(*of);
            let network = format!("{}.default", wishes.workloads[w].name);
            let name = lay_a_hand_on(wishes, *of, Hand::Changes);
            drop(site.machine.disconnect_by_hand(&network, &name));
        }
        Act::RunForeign { like_ours } => run_foreign(&site.machine, *like_ours),
        Act::EndAgent { in_order, back_after } => site.end_agent(*in_order, *back_after).await,
        Act::EndController { in_order, back_after } => site.end_controller(*in_order, *back_after).await,
        Act::CutAgent { silently, lasts } => {
            cut(site, &device().to_string(), *silently, *lasts, Mend::AgentLink);
        }
        Act::CutController { silently, lasts } => {
            cut(site, CONTROLLER, *silently, *lasts, Mend::ControllerLink);
        }
        Act::BadBus {
            lose,
            duplicate,
            delay,
            lasts,
        } => {
            site.broker.set_faults(Faults {
                lose: *lose,
                duplicate: *duplicate,
                delay: *delay,
            });
            site.later(*lasts, Mend::Bus);
        }
        Act::DiskFull { lasts } => {
            wishes.all_touched = true;
            site.disk.set_full(true);
            site.later(*lasts, Mend::Disk);
        }
        Act::RegistryAway { lasts } => {
            site.machine.set_registry_reachable("docker.io", false);
            site.later(*lasts, Mend::Registry);
        }
        Act::CrashEngine { crash, back_after } => {
            wishes.all_touched = true;
            site.machine.crash_engine(*crash);
            site.later(*back_after, Mend::Engine);
        }
        Act::StopEngine { back_after } => {
            wishes.all_touched = true;
            site.machine.stop_engine();
            site.later(*back_after, Mend::Engine);
        }
        Act::FreezeEngine { lasts } => {
            wishes.all_touched = true;
            site.machine.freeze_engine(true);
            site.later(*lasts, Mend::Thaw);
        }
        Act::LoseEvents { lasts } => {
            site.machine.lose_events(true);
            site.later(*lasts, Mend::Events);
        }
        Act::BreakEventStreams => site.machine.break_event_streams(),
        Act::SetTrap(trap) => {
            use super::faults::Strike;
            // Its own death restarts nothing.
            wishes.all_touched |= trap.strike != Strike::AgentDies;
            site.traps.arm(*trap);
        }
    }
}

fn cut(site: &mut Site, client: &str, silently: bool, lasts: Duration, mend: Mend) {
    if silently {
        site.broker.partition(client);
    } else {
        site.broker.cut(client);
    }
    site.later(lasts, mend);
}

/// Applies a workload as it is wished for.
pub(super) async fn apply(site: &Site, wishes: &Wishes, workload: usize) {
    let wish = &wishes.workloads[workload];
    let params = PatchParams::apply("user").force();
    site.workloads()
        .patch(wish.name, &params, &Patch::Apply(wish.manifest()))
        .await
        .unwrap();
}

/// Pauses or resumes the device.
pub(super) async fn pause_device(site: &Site, wishes: &mut Wishes, paused: bool) {
    let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
    site.devices()
        .patch(DEVICE, &PatchParams::default(), &patch)
        .await
        .unwrap();
    wishes.paused = paused;
}

async fn declare(site: &Site, wishes: &mut Wishes, pick: u32) {
    let w = wishes.pick_workload(pick);
    let name = wishes.workloads[w].name;
    let there = site.workloads().get_opt(name).await.unwrap().is_some();
    match wishes.workloads[w].presence {
        // A user who deletes and declares again waits until it is gone.
        Presence::Declared | Presence::Deleted if there => return,
        Presence::Missing => {}
        _ => {
            wishes.touch_workload(w);
            wishes.ask_for_all(w);
        }
    }
    wishes.workloads[w].presence = Presence::Declared;
    apply(site, wishes, w).await;
}

async fn delete(site: &Site, wishes: &mut Wishes, w: usize) {
    wishes.touch_workload(w);
    wishes.give_up_workload(w);
    let name = wishes.workloads[w].name;
    let workloads = site.workloads();
    // One that no controller has taken up yet is gone at once: nobody sees it deleted, and what an earlier one
    // of its name left is an orphan still.
    let seen = workloads.get(name).await.unwrap();
    wishes.workloads[w].presence = match seen.metadata.finalizers.as_deref() {
        None | Some([]) => Presence::Missing,
        Some(_) => Presence::Deleted,
    };
    wishes.workloads[w].suspend = false;
    workloads.delete(name, &DeleteParams::default()).await.unwrap();
}

async fn lose(site: &mut Site, wishes: &mut Wishes, w: usize) {
    site.end_controller(false, Duration::from_secs(5)).await;
    let name = wishes.workloads[w].name;
    let strip = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let workloads = site.workloads();
    workloads
        .patch(name, &PatchParams::default(), &strip)
        .await
        .unwrap();
    workloads.delete(name, &DeleteParams::default()).await.unwrap();
    assert!(
        workloads.get_opt(name).await.unwrap().is_none(),
        "nobody put a finalizer back"
    );
    wishes.workloads[w].presence = Presence::Missing;
}

/// Asks for another try of what failed.
pub(super) async fn retry(site: &Site, wishes: &mut Wishes, w: usize) {
    let wish = &mut wishes.workloads[w];
    wish.retry += 1;
    for container in wish.containers.iter().filter(|c| !c.image.is_good()) {
        let key = (wish.name, container.name);
        wishes.asked.push(key);
        if !container.image.fails_early() {
            wishes.touched.insert(key);
        }
    }
    apply(site, wishes, w).await;
}

/// Changes one container of a workload that is declared.
async fn change(site: &Site, wishes: &mut Wishes, pick: u32, how: impl FnOnce(&mut Wanted)) {
    let (w, c) = wishes.pick(pick);
    if wishes.workloads[w].presence != Presence::Declared {
        return;
    }
    let name = wishes.workloads[w].name;
    let container = &mut wishes.workloads[w].containers[c];
    let key = (name, container.name);
    let before = container.clone();
    how(container);
    // What failed is tried again after any change to it.
    let again = !container.image.is_good() && *container != before;
    if again || (container.image, container.note) != (before.image, before.note) {
        wishes.asked.push(key);
        if !container.image.fails_early() {
            wishes.touched.insert(key);
        }
    }
    apply(site, wishes, w).await;
}

/// Our containers on the machine, whoever may have copied our labels left out.
pub(super) fn ours(machine: &SimMachine) -> Vec<ContainerDetail> {
    let site = site_uid();
    let mut all = machine.containers();
    all.retain(|c| c.labels.get(labels::SITE) == Some(&site) && !c.name.starts_with(COPYCAT));
    all
}

/// What a hand does to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    Changes,
    /// It may not come back: what failed has nothing to go back to then.
    Ends,
}

/// Notes that a hand is laid on a container, and answers its name. Whether there is one, or one that runs, is no
/// matter: then nothing happens.
fn lay_a_hand_on(wishes: &mut Wishes, pick: u32, hand: Hand) -> String {
    let (w, c) = wishes.pick(pick);
    let key = (wishes.workloads[w].name, wishes.workloads[w].containers[c].name);
    wishes.touched.insert(key);
    wishes.touched_by_hand.insert(key);
    if hand == Hand::Ends {
        wishes.given_up.insert(key);
    }
    format!("{}.{}", key.0, key.1)
}

fn run_foreign(machine: &SimMachine, like_ours: bool) {
    let number = machine.containers().len();
    let ours = ours(machine);
    let (name, image) = match ours.first() {
        Some(one) if like_ours => {
            let image = format!("{COPYCAT}:{number}");
            // An engine that is down makes the run below fail as well.
            drop(machine.commit(&one.name, &image));
            (format!("{COPYCAT}-{number}"), image)
        }
        _ => (format!("{THEIRS}-{number}"), THEIRS.to_owned()),
    };
    let request = longshore_agent::runtime::CreateRequest {
        restart_policy: RestartPolicy::Always,
        ..by_hand(&name, &image)
    };
    drop(machine.run(&request));
}
