//! A channel in which each receiver gets each value.
//!
//! The channel keeps the newest values, up to its capacity. A value is dropped once every receiver
//! has received it. A receiver that is too slow loses the oldest values, and learns how many from
//! [`RecvError::Lagged`]. So a sender never waits.
//!
//! # Examples
//! ```
//! use brigade_runtime::local::broadcast;
//! use brigade_runtime::{gather, spawn};
//!
//! brigade_runtime::run(async {
//!     let (room, mut first) = broadcast::channel(16);
//!     let mut second = room.subscribe();
//!     spawn(async move {
//!         room.send("hello").unwrap();
//!         room.send("bye").unwrap();
//!     })
//!     .detach();
//!     assert_eq!(gather((first.recv(), second.recv())).await, (Ok("hello"), Ok("hello")));
//!     assert_eq!(first.recv().await, Ok("bye"));
//!     assert_eq!(first.recv().await, Err(broadcast::RecvError::Closed));
//! });
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use crate::local::waiters::Waiters;
use crate::observe::panic::log_panic;

/// Creates a channel that keeps at most `capacity` values, with its first receiver.
///
/// # Panics
/// If `capacity` is zero.
#[must_use]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "the capacity of a channel must be at least one");
    let shared = Rc::new(Shared {
        capacity,
        kept: RefCell::new(Kept { values: VecDeque::new(), first: 0 }),
        receivers: Cell::new(1),
        senders: Cell::new(1),
        waiters: Waiters::default(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared, next: 0 })
}

struct Shared<T> {
    capacity: usize,
    kept: RefCell<Kept<T>>,
    receivers: Cell<usize>,
    senders: Cell<usize>,
    /// The receivers that wait for a value.
    waiters: Waiters,
}

/// The values that a receiver may still receive.
struct Kept<T> {
    values: VecDeque<Value<T>>,
    /// The number of the first of them. The first value of a channel has the number 0.
    first: u64,
}

struct Value<T> {
    /// Counted, so that it is cloned and dropped while nothing is borrowed.
    value: Rc<T>,
    /// How many receivers have not received it. Receivers take values in their order, so it never
    /// becomes zero before that of an older value does.
    receivers: usize,
}

impl<T> Kept<T> {
    /// The number of the next value that is sent.
    fn end(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    /// Removes and returns the oldest value.
    fn pop(&mut self) -> Option<Rc<T>> {
        let oldest = self.values.pop_front()?;
        self.first += 1;
        Some(oldest.value)
    }

    /// Returns the value with this number for one receiver, and drops it from the channel if that
    /// was the last one.
    fn take(&mut self, number: u64) -> Option<Rc<T>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let value = self.values.get_mut(index)?;
        value.receivers -= 1;
        if value.receivers > 0 { Some(value.value.clone()) } else { self.pop() }
    }
}

impl<T> Shared<T> {
    /// Receives the value with the number in `next`, and adds one to it.
    fn try_recv(&self, next: &mut u64) -> Result<Rc<T>, TryRecvError> {
        let mut kept = self.kept.borrow_mut();
        let missed = kept.first.saturating_sub(*next);
        if missed > 0 {
            *next = kept.first;
            return Err(TryRecvError::Lagged(missed));
        }
        match kept.take(*next) {
            Some(value) => {
                *next += 1;
                Ok(value)
            }
            None if self.senders.get() == 0 => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    fn subscribe(self: &Rc<Self>) -> Receiver<T> {
        self.receivers.update(|n| n + 1);
        Receiver { shared: self.clone(), next: self.kept.borrow().end() }
    }
}

/// The sender of a [`channel`]. A clone sends to the same receivers.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends `value` to all receivers, without waiting. If the channel is full, the oldest value is
    /// dropped, and the receivers that have not received it get [`RecvError::Lagged`]. Returns the
    /// number of receivers.
    ///
    /// # Errors
    /// [`SendError`] with the value if there is no receiver. There may be one later, see
    /// [`Sender::subscribe`].
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let receivers = self.shared.receivers.get();
        if receivers == 0 {
            return Err(SendError(value));
        }
        // Dropped at the end, because that runs code of the user.
        let _oldest = {
            let mut kept = self.shared.kept.borrow_mut();
            let is_full = kept.values.len() == self.shared.capacity;
            let oldest = if is_full { kept.pop() } else { None };
            kept.values.push_back(Value { value: Rc::new(value), receivers });
            oldest
        };
        self.shared.waiters.wake_all();
        Ok(receivers)
    }

    /// Returns a new receiver, for the values that are sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.subscribe()
    }

    /// Returns the number of receivers.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }

    /// Returns the number of values that some receiver has not received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.kept.borrow().values.len()
    }

    /// Returns `true` if the receivers have received all values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
            self.shared.waiters.wake_all();
        }
    }
}

/// A receiver of a [`channel`].
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the value to receive next.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next value, and returns a clone of it. The last receiver of a value gets the
    /// value itself.
    ///
    /// # Errors
    /// [`RecvError::Lagged`] if values were dropped before this receiver received them; the next
    /// call returns the oldest value that is left. [`RecvError::Closed`] if all values were
    /// received and all senders were dropped.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no value was received.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let Self { shared, next } = self;
        let received = shared.waiters.wait(|| match shared.try_recv(next) {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
        });
        received.await.map(Rc::unwrap_or_clone)
    }

    /// Receives the next value without waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if there is no value now, and the errors of [`Receiver::recv`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.try_recv(&mut self.next).map(Rc::unwrap_or_clone)
    }
}

impl<T> Receiver<T> {
    /// Returns a new receiver, for the values that are sent from now on.
    #[must_use]
    pub fn resubscribe(&self) -> Self {
        self.shared.subscribe()
    }

    /// Returns the number of values that were sent and that this receiver has not received, those
    /// included that were dropped already.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.shared.kept.borrow().end() - self.next) as usize
    }

    /// Returns `true` if there is no value to receive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.update(|n| n - 1);
        let received: Vec<_> = {
            let mut kept = self.shared.kept.borrow_mut();
            let own = self.next.max(kept.first)..kept.end();
            own.filter_map(|number| kept.take(number)).collect()
        };
        // One by one, because a second panic in a destructor would abort the process.
        received.into_iter().for_each(|value| log_panic(|| drop(value)));
    }
}

/// The error of [`Sender::send`]: there is no receiver. Holds the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// The error of [`Receiver::recv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// All values were received, and all senders were dropped.
    Closed,
    /// This many values were dropped before the receiver received them.
    Lagged(u64),
}

/// The error of [`Receiver::try_recv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no value, and one may still be sent.
    Empty,
    /// All values were received, and all senders were dropped.
    Closed,
    /// This many values were dropped before the receiver received them.
    Lagged(u64),
}

const CLOSED: &str = "the channel is empty and closed";

fn lagged(f: &mut fmt::Formatter<'_>, missed: u64) -> fmt::Result {
    write!(f, "the receiver was too slow and missed {missed} values")
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel has no receiver")
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(missed) => lagged(f, *missed),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the channel is empty"),
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(missed) => lagged(f, *missed),
        }
    }
}

impl<T> std::error::Error for SendError<T> {}
impl std::error::Error for RecvError {}
impl std::error::Error for TryRecvError {}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("receivers", &self.receiver_count())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
