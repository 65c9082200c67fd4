//! Word that something has happened.

use std::fmt;
use std::rc::Rc;

use crate::local::permits::Permits;

/// Lets tasks wait until another one says that they may go on. A clone is the same `Notify`.
///
/// It carries no value: keep what has changed in a cell beside it, and look there after each
/// wake. asyncio's `Event` is a `Cell<bool>` and a `Notify`, and so is its `Condition`.
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
    /// Nobody waits, and nothing was said.
    #[must_use]
    pub fn new() -> Self {
        Self { permits: Rc::new(Permits::new(0, 1)) }
    }

    /// Lets the one go on who has waited longest. If nobody waits, the next one who would does
    /// not; said twice to nobody it counts once.
    pub fn notify_one(&self) {
        self.permits.add();
    }

    /// Lets all go on who wait now, and nobody who comes later.
    pub fn notify_waiters(&self) {
        self.permits.pass_all();
    }

    /// Waits for [`Notify::notify_one`] or [`Notify::notify_waiters`], from the first poll on: with no
    /// await between looking at what may change and this one, no notification is missed.
    /// Cancellation safe: a notification for one that was not seen goes to the next one.
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
