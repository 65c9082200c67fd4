//! A value that tasks watch: each receiver sees the newest value, not all of them.
//!
//! # Examples
//! ```
//! use brigade_runtime::local::watch;
//! use brigade_runtime::spawn;
//!
//! brigade_runtime::run(async {
//!     let (config, mut watched) = watch::channel("old");
//!     let watching = spawn(async move {
//!         let mut seen = vec![*watched.borrow_and_update()];
//!         while watched.changed().await.is_ok() {
//!             seen.push(*watched.borrow_and_update());
//!         }
//!         seen
//!     });
//!     brigade_runtime::task::yield_now().await;
//!     config.send("skipped").unwrap();
//!     config.send("new").unwrap();
//!     drop(config);
//!     assert_eq!(watching.await.unwrap(), ["old", "new"]);
//! });
//! ```

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use crate::local::waiters::Waiters;

/// Creates a channel with a first value, which counts as seen by the receiver.
#[must_use]
pub fn channel<T>(first: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(first);
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Shared<T> {
    value: RefCell<T>,
    /// Counts the changes.
    version: Cell<u64>,
    receivers: Cell<usize>,
    senders: Cell<usize>,
    /// The receivers that wait for a change.
    changed: Waiters,
    /// The senders that wait until there is no receiver.
    closed: Waiters,
}

impl<T> Shared<T> {
    #[track_caller]
    fn borrow_mut(&self) -> RefMut<'_, T> {
        let value = self.value.try_borrow_mut();
        value.expect("a watched value cannot change while it is borrowed: a `Ref` is still held")
    }

    fn note_change(&self) {
        self.version.update(|version| version + 1);
        self.changed.wake_all();
    }
}

/// The sender of a [`channel`]. A clone changes the same value.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Creates a channel without a receiver, see [`Sender::subscribe`].
    #[must_use]
    pub fn new(first: T) -> Self {
        Self {
            shared: Rc::new(Shared {
                value: RefCell::new(first),
                version: Cell::new(0),
                receivers: Cell::new(0),
                senders: Cell::new(1),
                changed: Waiters::default(),
                closed: Waiters::default(),
            }),
        }
    }

    /// Replaces the value, and wakes the receivers.
    ///
    /// # Errors
    /// [`SendError`] with the value if there is no receiver; then the value is not replaced. Use
    /// [`Sender::send_replace`] if there may be one later.
    ///
    /// # Panics
    /// If the value is borrowed.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Replaces the value, also if there is no receiver, and wakes the receivers. Returns the value
    /// before.
    ///
    /// # Panics
    /// If the value is borrowed.
    #[track_caller]
    pub fn send_replace(&self, value: T) -> T {
        let before = std::mem::replace(&mut *self.shared.borrow_mut(), value);
        self.shared.note_change();
        before
    }

    /// Changes the value in place, also if there is no receiver, and wakes the receivers.
    ///
    /// # Panics
    /// If the value is borrowed, and if `modify` panics: then the receivers are not woken.
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        modify(&mut self.shared.borrow_mut());
        self.shared.note_change();
    }

    /// Changes the value in place. Wakes the receivers if `modify` returns `true`, and returns the
    /// same.
    ///
    /// # Panics
    /// If the value is borrowed, and if `modify` panics: then the receivers are not woken.
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let is_modified = modify(&mut self.shared.borrow_mut());
        if is_modified {
            self.shared.note_change();
        }
        is_modified
    }

    /// Returns the value. It cannot change while it is borrowed: drop the `Ref` before the next
    /// await.
    ///
    /// # Panics
    /// If called by a function that changes the value.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.value.borrow()
    }

    /// Returns a new receiver. The value as it is now counts as seen by it.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.receivers.update(|n| n + 1);
        Receiver { shared: self.shared.clone(), seen: self.shared.version.get() }
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn closed(&self) {
        self.shared.closed.wait(|| self.is_closed().then_some(())).await;
    }

    /// Returns `true` if there is no receiver.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Returns the number of receivers.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.update(|n| n + 1);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.senders.update(|n| n - 1);
        if self.shared.senders.get() == 0 {
            self.shared.changed.wake_all();
        }
    }
}

/// A receiver of a [`channel`]. A clone has seen what this one has seen.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The version of the value that counts as seen.
    seen: u64,
}

impl<T> Receiver<T> {
    /// Waits until the value changes, unless it has changed since it was last seen. Then the value
    /// counts as seen.
    ///
    /// # Errors
    /// [`RecvError`] if the value was seen and all senders were dropped.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no change was missed.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        let Self { shared, seen } = self;
        let changed = shared.changed.wait(|| {
            if *seen != shared.version.get() {
                *seen = shared.version.get();
                return Some(Ok(()));
            }
            (shared.senders.get() == 0).then_some(Err(RecvError))
        });
        changed.await
    }

    /// Waits until `predicate` returns `true` for the value, which is checked at once and after
    /// each change. Returns the value, which then counts as seen.
    ///
    /// # Errors
    /// [`RecvError`] if all senders were dropped, and `predicate` returns `false` for the last
    /// value.
    ///
    /// # Panics
    /// If `predicate` panics, or changes the value.
    ///
    /// # Cancel safety
    /// Cancel safe. The values that were checked until then count as seen.
    pub async fn wait_for(
        &mut self,
        mut predicate: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        let Self { shared, seen } = self;
        let mut is_checked = false;
        let met = shared.changed.wait(|| {
            if !is_checked || *seen != shared.version.get() {
                (is_checked, *seen) = (true, shared.version.get());
                if predicate(&shared.value.borrow()) {
                    return Some(Ok(()));
                }
            }
            (shared.senders.get() == 0).then_some(Err(RecvError))
        });
        met.await.map(|()| shared.value.borrow())
    }

    /// Returns the value, which does not count as seen. It cannot change while it is borrowed: drop
    /// the `Ref` before the next await.
    ///
    /// # Panics
    /// If called by a function that changes the value.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.value.borrow()
    }

    /// Returns the value, which counts as seen: [`Receiver::changed`] waits for the next change. It
    /// cannot change while it is borrowed: drop the `Ref` before the next await.
    ///
    /// # Panics
    /// If called by a function that changes the value.
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.shared.version.get();
        self.shared.value.borrow()
    }

    /// Returns `true` if the value has changed since it was last seen.
    ///
    /// # Errors
    /// [`RecvError`] if all senders were dropped.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        if self.shared.senders.get() == 0 {
            return Err(RecvError);
        }
        Ok(self.seen != self.shared.version.get())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.update(|n| n + 1);
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.update(|n| n - 1);
        if self.shared.receivers.get() == 0 {
            self.shared.closed.wake_all();
        }
    }
}

/// The error of [`Sender::send`]: there is no receiver. Holds the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// The error of [`Receiver::changed`]: all senders were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the watched value has no receiver")
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the watched value has no sender")
    }
}

impl<T> std::error::Error for SendError<T> {}
impl std::error::Error for RecvError {}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("value", &self.shared.value).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("value", &self.shared.value).finish_non_exhaustive()
    }
}
