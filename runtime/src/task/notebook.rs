//! What a task is working on, for the reports of a loop that is stuck.

use std::fmt;
use std::sync::Arc;

use crate::executor::core::Core;
use crate::observe::labels::Note;
use crate::observe::shared::Shared;

/// Tells those who watch this thread's loop what it works on.
#[derive(Clone)]
pub struct Notebook {
    shared: Arc<Shared>,
}

impl Notebook {
    /// The notebook of this thread's loop.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        Self { shared: Core::current().shared.clone() }
    }

    /// Says what the task that is running works on, until this is called again or the task
    /// yields. It stands in the report if the loop is stuck meanwhile, and costs one store.
    pub fn set(&self, note: Option<Note>) {
        self.shared.vitals.set_note(note);
    }
}

impl fmt::Debug for Notebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notebook").field("of", &self.shared.name).finish_non_exhaustive()
    }
}
