//! A queue from many tasks to one: asyncio's `Queue`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::local::permits::Permits;

/// A queue of at most `capacity` values: who sends into a full one waits, first come, first
/// served.
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
    assert!(capacity > 0, "a channel has room for one value at least");
    let shared = Rc::new(Shared {
        queue: RefCell::new(VecDeque::new()),
        room: Permits::new(capacity, capacity),
        receiver: RefCell::new(None),
        senders: Cell::new(1),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// A queue without a limit: sending into it never waits, and nothing slows a sender that is faster
/// than the receiver.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    /// A permit for each value that the queue has room for. Closed when nobody receives.
    room: Permits,
    /// Who waits for a value.
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

/// The sending end of a [`channel`]. A clone sends into the same queue.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Waits until there is room, and sends `value`. Cancellation safe as far as order goes: a
    /// send that is dropped has not sent, and its value is dropped with it.
    ///
    /// # Errors
    /// The value, if nobody receives any more.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.shared.room.acquire().await {
            Ok(()) if !self.is_closed() => {
                self.shared.push(value);
                Ok(())
            }
            _ => Err(SendError(value)),
        }
    }

    /// Sends `value` if there is room and nobody waits for it.
    ///
    /// # Errors
    /// The value, if the queue is full or nobody receives any more.
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

    /// Returns `true` if nobody receives any more.
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

/// The receiving end of a [`channel`]; also a [`Stream`]. Dropping it drops what is in the queue.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for the next value; `None` once the queue is empty and no sender is left, or it was
    /// closed. Cancellation safe: without a result nothing was taken.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Ready with the next value; see [`Receiver::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.try_recv() {
            Ok(value) => Poll::Ready(Some(value)),
            Err(TryRecvError::Closed) => Poll::Ready(None),
            Err(TryRecvError::Empty) => {
                let waker = cx.waker().clone();
                // Bound to a name, so that it is dropped after the borrow has ended.
                let _before = self.shared.receiver.borrow_mut().replace(waker);
                Poll::Pending
            }
        }
    }

    /// The next value, if it is there already.
    ///
    /// # Errors
    /// If the queue is empty, now or for good.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let value = self.shared.queue.borrow_mut().pop_front();
        match value {
            Some(value) => {
                self.shared.room.add();
                Ok(value)
            }
            None if self.shared.senders.get() == 0 || self.shared.room.is_closed() => {
                Err(TryRecvError::Closed)
            }
            None => Err(TryRecvError::Empty),
        }
    }

    /// Takes no more: sends fail from now on, also those that wait for room. What is in the queue
    /// can still be received.
    pub fn close(&mut self) {
        self.shared.room.close();
    }

    /// How many values are in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Returns `true` if no value is in the queue.
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
        // Out of the cell first: dropping a value runs code of a user.
        drop(self.shared.queue.take());
    }
}

/// Nobody receives any more. Holds the value that was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why a value was not sent at once. Holds the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room now.
    Full(T),
    /// Nobody receives any more.
    Closed(T),
}

/// Why there is no value at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The queue is empty now.
    Empty,
    /// The queue is empty for good: no sender is left, or it was closed.
    Closed,
}

const NOBODY_RECEIVES: &str = "nobody receives from this channel any more";

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOBODY_RECEIVES)
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Closed(_) => NOBODY_RECEIVES,
        })
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty",
            Self::Closed => "the channel is empty, and nothing more will come",
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
