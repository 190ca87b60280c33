//! What an operator reads in the agent's log.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

use super::harness::*;
use crate::runtime::RuntimeErrorKind;
use crate::runtime::sim::{Crash, Fault, Op, Phase};

thread_local! {
    /// The lines of this crate, on the thread of a test that keeps them.
    static KEPT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// One for the process: tracing asks whichever thread comes to a line first whether it is wanted, and
/// remembers the answer for all of them.
struct Lines;

impl Lines {
    fn keep() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Self).unwrap());
        KEPT.set(Some(Vec::new()));
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{field}={value} ").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("longshore_agent")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        KEPT.with_borrow_mut(|kept| kept.iter_mut().for_each(|lines| lines.push(line.0.clone())));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn lines_say_what_is_done_in_the_words_of_a_plan_and_show_no_structures() {
    Lines::keep();
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    // A replace that is cut short, goes on, cannot start the new one, and has trouble with going back.
    let machine = world.machine.clone();
    let crashed = AtomicBool::new(false);
    world.machine.on_effect(move |effect| {
        if effect.phase == Phase::Before && effect.op == Op::Stop {
            if !crashed.swap(true, Ordering::Relaxed) {
                machine.crash_engine(Crash::ContainersLiveOn);
            }
        } else if effect.phase == Phase::Before && effect.op == Op::Start {
            return Fault::Error(RuntimeErrorKind::Other);
        }
        Fault::None
    });
    world.drive(&hello("hello:2"), 10).await;
    world.machine.start_engine();
    world.drive(&hello("hello:2"), 60).await;
    world.machine.clear_hook();
    world.drive(&hello("hello:2"), 60).await;
    let lines = KEPT.take().unwrap();
    for expected in [
        "step=replace hello.web, because its declaration changed",
        "phase=switching over to the new container",
        "the previous container could not be put back",
    ] {
        let said = lines.iter().any(|line| line.contains(expected));
        assert!(said, "{expected}\n{}", lines.join("\n"));
    }
    let structures = ["{ ", "Some(", "DnsLabel", "EngineId(", "Failed("];
    let shown = lines
        .iter()
        .find(|line| structures.iter().any(|s| line.contains(s)));
    assert_eq!(shown, None);
}
