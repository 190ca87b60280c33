//! Which session of a device is the current one, when messages come late, twice and out of order.

use std::collections::VecDeque;

use uuid::Uuid;

/// How many ended sessions are remembered.
const PAST: usize = 4;

/// What a message is, by its session and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Of the current session, and new.
    Current,
    /// Of another session, which is the current one from now on.
    New,
    /// Late or repeated.
    Stale,
}

/// The current session, and those before it.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    current: Option<(Uuid, u64)>,
    past: VecDeque<(Uuid, u64)>,
}

impl Sessions {
    /// Whether `session` is the current one.
    pub(super) fn is_current(&self, session: Uuid) -> bool {
        self.current.is_some_and(|(current, _)| current == session)
    }

    /// A message of `session`; `seq` is its report's number.
    ///
    /// An ended session is taken up again when it sends a report newer than all we had of it: either we
    /// took a late birth for a new one, or this report is late itself and the other session's next one
    /// puts it right. Both end well, and a rule that never goes back would not.
    pub(super) fn meet(&mut self, session: Uuid, seq: Option<u64>) -> Verdict {
        if let Some((current, last)) = &mut self.current
            && *current == session
        {
            return match seq {
                None => Verdict::Current,
                Some(seq) if seq > *last => {
                    *last = seq;
                    Verdict::Current
                }
                Some(_) => Verdict::Stale,
            };
        }
        if let Some(place) = self.past.iter().position(|(past, _)| *past == session) {
            let (_, last) = self.past[place];
            if seq.is_none_or(|seq| seq <= last) {
                return Verdict::Stale;
            }
            self.past.remove(place);
        }
        if let Some(ended) = self.current.replace((session, seq.unwrap_or(0))) {
            self.past.push_front(ended);
            self.past.truncate(PAST);
        }
        Verdict::New
    }
}
