//! What a task works on, for reports of stalls.

use std::fmt;
use std::sync::Arc;

use crate::executor::core::Core;
use crate::observe::labels::Note;
use crate::observe::shared::Shared;

/// Publishes what the running task of this thread's loop works on. The note appears in stall
/// reports and in snapshots of the loop.
///
/// # Examples
/// ```
/// use brigade_runtime::server::Notebook;
/// use brigade_runtime::task::Note;
///
/// brigade_runtime::run(async {
///     // Notes are made once and used often.
///     let note = Note::new("/users/{id}");
///     Notebook::current().set(Some(note));
///     let snapshot = brigade_runtime::LoopHandle::current().snapshot();
///     assert_eq!(snapshot.note.unwrap().text(), "/users/{id}");
/// });
/// ```
#[derive(Clone)]
pub struct Notebook {
    shared: Arc<Shared>,
}

impl Notebook {
    /// Returns the notebook of this thread's loop.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        Self { shared: Core::current().shared().clone() }
    }

    /// Sets the note of the running task, until the next call or until the task yields. Costs one
    /// store.
    pub fn set(&self, note: Option<Note>) {
        self.shared.vitals.set_note(note);
    }
}

impl fmt::Debug for Notebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notebook").field("of", &self.shared.name).finish_non_exhaustive()
    }
}
