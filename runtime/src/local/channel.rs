//! A channel from many tasks to one, like asyncio's `Queue`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::budget;
use crate::local::permits::Permits;
use crate::observe::panic::log_panic;

/// Creates a channel that holds at most `capacity` values. Senders wait while it is full, and are
/// served in the order in which they began to wait.
///
/// # Panics
/// If `capacity` is zero.
///
/// # Examples
/// ```
/// use brigade_runtime::{local, spawn};
///
/// brigade_runtime::run(async {
///     let (orders, mut kitchen) = local::channel(2);
///     spawn(async move {
///         for dish in ["soup", "rice", "tea"] {
///             orders.send(dish).await.unwrap();
///         }
///     })
///     .detach();
///     let mut cooked = Vec::new();
///     while let Some(dish) = kitchen.recv().await {
///         cooked.push(dish);
///     }
///     assert_eq!(cooked, ["soup", "rice", "tea"]);
/// });
/// ```
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "the capacity of a channel must be at least one");
    let shared = Rc::new(Shared {
        queue: RefCell::new(VecDeque::new()),
        room: Permits::new(capacity, capacity),
        receiver: RefCell::new(None),
        senders: Cell::new(1),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// Creates a channel without a limit. Sending never waits, so a sender that is faster than the
/// receiver fills the memory.
#[must_use]
pub fn unbounded_channel<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    /// A permit for each value that the queue has room for. Closed together with the receiver.
    room: Permits,
    /// The waker of the task that waits for a value.
    receiver: RefCell<Option<Waker>>,
    senders: Cell<usize>,
}

impl<T> Shared<T> {
    fn push(&self, value: T) {
        self.queue.borrow_mut().push_back(value);
        self.wake_receiver();
    }

    fn wake_receiver(&self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

/// The sender of a [`channel`]. A clone sends to the same receiver.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends `value`. Waits while the channel is full.
    ///
    /// # Errors
    /// [`SendError`] with the value if the receiver was closed or dropped.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the value was not sent. It is dropped, and the
    /// task loses its place in the queue.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.shared.room.acquire().await {
            Ok(()) if !self.is_closed() => {
                self.shared.push(value);
                Ok(())
            }
            _ => Err(SendError(value)),
        }
    }

    /// Sends `value` without waiting.
    ///
    /// # Errors
    /// [`TrySendError::Full`] with the value if the channel has no room, or the room is promised to
    /// senders that wait. [`TrySendError::Closed`] with the value if the receiver was closed or
    /// dropped.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(value));
        }
        if !self.shared.room.try_acquire() {
            return Err(TrySendError::Full(value));
        }
        self.shared.push(value);
        Ok(())
    }

    /// Returns `true` if the receiver was closed or dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.room.is_closed()
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
            self.shared.wake_receiver();
        }
    }
}

/// The receiver of a [`channel`], which is also a [`Stream`]. Dropping it drops the values that
/// were sent and not received.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for the next value. Returns `None` if the channel is empty and all senders were
    /// dropped, or if it is empty and was closed.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no value was received.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next value, like [`Receiver::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        budget::poll_counted(cx, |cx| match self.try_recv() {
            Ok(value) => Poll::Ready(Some(value)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => {
                let waker = cx.waker().clone();
                // Bound to a name, so that it is dropped after the borrow has ended.
                let _previous = self.shared.receiver.borrow_mut().replace(waker);
                Poll::Pending
            }
        })
    }

    /// Receives the next value without waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if the channel is empty. [`TryRecvError::Disconnected`] if it is
    /// empty, and was closed or has no sender left.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let value = self.shared.queue.borrow_mut().pop_front();
        match value {
            Some(value) => {
                self.shared.room.add();
                Ok(value)
            }
            None if self.shared.senders.get() == 0 || self.shared.room.is_closed() => {
                Err(TryRecvError::Disconnected)
            }
            None => Err(TryRecvError::Empty),
        }
    }

    /// Closes the channel. Sends fail from now on, including those that wait for room. Values that
    /// were sent before can still be received.
    pub fn close(&mut self) {
        self.shared.room.close();
    }

    /// Returns the number of values that were sent and not received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Returns `true` if the channel holds no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.room.close();
        // Taken out of the cell first, because dropping a value runs the user's code. Dropped one
        // by one, because a second panic among the values of a `VecDeque` would abort the process.
        for value in self.shared.queue.take() {
            log_panic(|| drop(value));
        }
    }
}

/// The error of [`Sender::send`]: the receiver was closed or dropped. Holds the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// The error of [`Sender::try_send`]. Holds the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The channel has no room.
    Full(T),
    /// The receiver was closed or dropped.
    Closed(T),
}

/// The error of [`Receiver::try_recv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The channel is empty, and a value may still be sent.
    Empty,
    /// The channel is empty, and was closed or all senders were dropped.
    Disconnected,
}

const CLOSED: &str = "the channel is closed";

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Closed(_) => CLOSED,
        })
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty",
            Self::Disconnected => "the channel is empty and closed",
        })
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}
impl<T> std::error::Error for TrySendError<T> {}
impl std::error::Error for TryRecvError {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
