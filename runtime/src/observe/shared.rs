//! What any thread can read of one loop.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::observe::info::TaskLabel;
use crate::observe::poll_times::PollTimer;
use crate::observe::unhandled::{self, Unhandled, UnhandledHook};
use crate::observe::vitals::{CurrentPoll, Vitals};
use crate::sync::lock;

/// What any thread can read of one loop.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) thread: std::thread::ThreadId,
    pub(crate) on_unhandled: Option<UnhandledHook>,
    /// How long the loop may be stuck before the watchdog reports it. Not watched if `None`.
    pub(crate) stall_threshold: Option<Duration>,
    /// What the loop publishes as it turns.
    pub(crate) vitals: CachePadded<Vitals>,
    /// How often the watchdog found the loop stuck.
    pub(crate) stalls: AtomicU64,
    /// How long the loop's polls take.
    pub(crate) poll_times: PollTimer,
    /// The name of the task that is being polled, if the name is not a literal.
    pub(crate) own_name: Mutex<String>,
}

impl Shared {
    /// Passes `unhandled` to the loop's hook, or to the log if it has none.
    pub(crate) fn report(&self, unhandled: &Unhandled) {
        unhandled::report(self.on_unhandled.as_ref(), unhandled);
    }

    /// Publishes the name of the task that is being polled, if the name is not a literal.
    pub(crate) fn publish_name(&self, name: &str) {
        let mut own_name = lock(&self.own_name);
        own_name.clear();
        own_name.push_str(name);
    }

    /// Returns the label of the task that is being polled, if the loop publishes labels.
    pub(crate) fn label_of(&self, poll: CurrentPoll) -> Option<TaskLabel> {
        let label = poll.label.label()?;
        let name = match poll.label.has_own_name() {
            true => {
                let own_name = lock(&self.own_name);
                Some(own_name.clone().into())
            }
            false => label.name.map(Into::into),
        };
        Some(TaskLabel { id: poll.task, name, site: label.site })
    }
}
