//! Notifications without a value.

use std::fmt;
use std::rc::Rc;

use crate::local::permits::Permits;

/// Wakes tasks that wait for something to change. A clone refers to the same `Notify`.
///
/// A notification carries no value. Keep the state in a cell next to the `Notify`, and check it
/// after each notification. A `Cell<bool>` and a `Notify` are asyncio's `Event`; any other cell and
/// a `Notify` are its `Condition`.
///
/// # Examples
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use brigade_runtime::{local::Notify, spawn};
///
/// brigade_runtime::run(async {
///     let (open, changed) = (Rc::new(Cell::new(false)), Notify::new());
///     let guest = spawn({
///         let (open, changed) = (open.clone(), changed.clone());
///         async move {
///             while !open.get() {
///                 changed.notified().await;
///             }
///         }
///     });
///     open.set(true);
///     changed.notify_waiters();
///     guest.await.unwrap();
/// });
/// ```
#[derive(Clone)]
pub struct Notify {
    permits: Rc<Permits>,
}

impl Notify {
    /// Creates a `Notify` without a stored notification.
    #[must_use]
    pub fn new() -> Self {
        Self { permits: Rc::new(Permits::new(0, 1)) }
    }

    /// Notifies the task that has waited longest. If no task waits, the notification is stored, and
    /// the next call of [`Notify::notified`] takes it without waiting. At most one is stored.
    pub fn notify_one(&self) {
        self.permits.add();
    }

    /// Notifies all tasks that wait now. Stores nothing for tasks that begin to wait later.
    pub fn notify_waiters(&self) {
        self.permits.wake_all();
    }

    /// Waits for [`Notify::notify_one`] or [`Notify::notify_waiters`].
    ///
    /// The wait begins with the first poll of the future. Other tasks run only at an await, so a
    /// task that checks the state and then awaits this at once misses no notification.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, a notification of [`Notify::notify_one`] that
    /// it was granted goes to the next task, and the task loses its place in the queue.
    pub async fn notified(&self) {
        self.permits.acquire().await.expect("a `Notify` is never closed");
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}
