//! Events that wait to be published.

use super::*;

fn about(name: &str) -> ObjectReference {
    ObjectReference {
        name: Some(name.into()),
        ..ObjectReference::default()
    }
}

fn numbered(n: usize) -> Note {
    note(false, "Created", format!("Created/{n}"), "words")
}

#[test]
fn they_are_published_one_after_the_other_in_their_order() {
    let mut queue = EventQueue::default();
    assert_eq!(queue.take(), None);
    queue.push(about("a"), numbered(1));
    queue.push(about("a"), numbered(2));
    assert_eq!(queue.take(), Some((about("a"), numbered(1))));
    assert_eq!(queue.take(), None, "one is on its way");
    queue.done();
    assert_eq!(queue.take(), Some((about("a"), numbered(2))));
    queue.done();
    assert_eq!(queue.take(), None);
    // An empty look leaves the way free.
    queue.push(about("a"), numbered(3));
    assert!(queue.take().is_some());
}

#[test]
fn the_same_does_not_wait_twice() {
    let mut queue = EventQueue::default();
    queue.push(about("a"), numbered(1));
    queue.push(about("a"), numbered(1));
    queue.push(about("b"), numbered(1));
    assert!(queue.take().is_some());
    // It happened again while the first one was on its way.
    queue.push(about("a"), numbered(1));
    queue.done();
    assert_eq!(queue.take(), Some((about("b"), numbered(1))));
    queue.done();
    assert_eq!(queue.take(), Some((about("a"), numbered(1))));
    queue.done();
    assert_eq!(queue.take(), None);
    assert_eq!(queue.dropped(), 0);
}

#[test]
fn when_there_are_too_many_the_oldest_are_dropped_and_counted() {
    let mut queue = EventQueue::default();
    for n in 0..EventQueue::CAPACITY + 3 {
        queue.push(about("a"), numbered(n));
    }
    assert_eq!(queue.dropped(), 3);
    assert_eq!(queue.take(), Some((about("a"), numbered(3))));
    // One that waits already makes nobody leave.
    queue.push(about("a"), numbered(4));
    assert_eq!(queue.dropped(), 3);
}
