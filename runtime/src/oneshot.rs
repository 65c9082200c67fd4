//! Channels for one value, like asyncio's `Future`.
//!
//! [`channel`] connects two tasks of one loop. [`sync_channel`] carries a value from any thread to
//! a task of any loop. If the sender is dropped without sending, the receiver gets [`Cancelled`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::budget;
use crate::observe::panic::log_panic;
use crate::sync::Mutex;
#[cfg(not(brigade_loom))]
use crate::sync::lock;
use crate::sync::{poll_and_register, register};

/// The error of a receiver whose sender was dropped without sending a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender of a oneshot was dropped without sending a value")
    }
}

impl std::error::Error for Cancelled {}

/// The state that both ends share.
struct Slot<T> {
    value: Option<T>,
    /// The sender has sent, or was dropped.
    sender_done: bool,
    receiver_dropped: bool,
    /// The waker of the task that waits for the value.
    receiver: Option<Waker>,
    /// The wakers of the tasks that wait in `closed`, in the order in which they began to wait.
    senders: BTreeMap<u64, Waker>,
    /// The key of the next one.
    next_wait: u64,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self {
            value: None,
            sender_done: false,
            receiver_dropped: false,
            receiver: None,
            senders: BTreeMap::new(),
            next_wait: 0,
        }
    }

    /// Stores the value, and returns the waker of the receiver if that waits. Returns the value as
    /// an error if the receiver was dropped.
    fn send(&mut self, value: T) -> Result<Option<Waker>, T> {
        if self.receiver_dropped {
            return Err(value);
        }
        self.value = Some(value);
        self.sender_done = true;
        Ok(self.receiver.take())
    }

    fn drop_sender(&mut self) -> Option<Waker> {
        self.sender_done = true;
        self.receiver.take()
    }

    /// Returns the wakers of the tasks that wait in `closed`. The rest is for the caller to drop.
    fn drop_receiver(&mut self) -> (BTreeMap<u64, Waker>, Option<T>, Option<Waker>) {
        self.receiver_dropped = true;
        (std::mem::take(&mut self.senders), self.value.take(), self.receiver.take())
    }

    /// Polls for the value, see [`poll_and_register`].
    fn poll_recv(
        &mut self,
        waker: &Waker,
        place: &mut Option<Waker>,
    ) -> Option<Poll<Result<T, Cancelled>>> {
        if let Some(value) = self.value.take() {
            return Some(Poll::Ready(Ok(value)));
        }
        if self.sender_done {
            return Some(Poll::Ready(Err(Cancelled)));
        }
        register(&mut self.receiver, waker, place)
    }

    /// Polls for the end of the receiver, see [`poll_and_register`]. `wait` is the key of the
    /// waker, once there is one.
    fn poll_closed(
        &mut self,
        wait: &Cell<Option<u64>>,
        waker: &Waker,
        place: &mut Option<Waker>,
    ) -> Option<Poll<()>> {
        if self.receiver_dropped {
            return Some(Poll::Ready(()));
        }
        match wait.get().and_then(|wait| self.senders.get_mut(&wait)) {
            Some(stored) if stored.will_wake(waker) => {}
            Some(stored) => std::mem::swap(stored, place.as_mut()?),
            None => {
                self.senders.insert(self.next_wait, place.take()?);
                wait.set(Some(self.next_wait));
                self.next_wait += 1;
            }
        }
        Some(Poll::Pending)
    }
}

/// Wakes all of `wakers`, even if one of them panics.
fn wake_all(wakers: BTreeMap<u64, Waker>) {
    wakers.into_values().for_each(|waker| log_panic(|| waker.wake()));
}

/// Calls a function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Creates a channel for one value between two tasks of one loop.
///
/// # Examples
/// ```
/// use brigade_runtime::oneshot;
///
/// brigade_runtime::run(async {
///     let (sender, receiver) = oneshot::channel();
///     brigade_runtime::spawn(async move { sender.send("done") }).detach();
///     assert_eq!(receiver.await, Ok("done"));
/// });
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Rc::new(RefCell::new(Slot::new()));
    (Sender { slot: slot.clone() }, Receiver { slot, is_done: false })
}

/// Creates a channel for one value from any thread to a task of any loop.
///
/// # Examples
/// ```
/// use brigade_runtime::oneshot;
///
/// brigade_runtime::run(async {
///     let (sender, receiver) = oneshot::sync_channel();
///     std::thread::spawn(move || sender.send("done"));
///     assert_eq!(receiver.await, Ok("done"));
/// });
/// ```
#[must_use]
pub fn sync_channel<T>() -> (SyncSender<T>, SyncReceiver<T>) {
    let slot = Arc::new(Mutex::new(Slot::new()));
    (SyncSender { slot: slot.clone() }, SyncReceiver { slot, is_done: false })
}

macro_rules! oneshot_ends {
    ($Sender:ident, $Receiver:ident, $borrow:ident) => {
        impl<T> $Sender<T> {
            /// Sends `value` to the receiver, like asyncio's `set_result`. For `set_exception`,
            /// send a `Result`.
            ///
            /// # Errors
            /// The value if the receiver was dropped.
            pub fn send(self, value: T) -> Result<(), T> {
                let waker = $borrow(&self.slot).send(value)?;
                waker.into_iter().for_each(Waker::wake);
                Ok(())
            }

            /// Returns `true` if the receiver was dropped.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                $borrow(&self.slot).receiver_dropped
            }

            /// Waits until the receiver is dropped. Several tasks may wait.
            ///
            /// # Cancel safety
            /// Safe: dropping the future has no effect.
            pub async fn closed(&self) {
                let wait = Cell::new(None);
                let _leave = OnDrop(|| {
                    if let Some(wait) = wait.get() {
                        // Bound to a name, so that it is dropped after the borrow has ended.
                        let _waker = $borrow(&self.slot).senders.remove(&wait);
                    }
                });
                std::future::poll_fn(|cx| {
                    budget::poll_counted(cx, |cx| {
                        let waker = cx.waker();
                        poll_and_register(waker, |place| {
                            $borrow(&self.slot).poll_closed(&wait, waker, place)
                        })
                    })
                })
                .await;
            }
        }

        impl<T> Drop for $Sender<T> {
            fn drop(&mut self) {
                let waker = $borrow(&self.slot).drop_sender();
                waker.into_iter().for_each(Waker::wake);
            }
        }

        impl<T> $Receiver<T> {
            /// Receives the value without waiting. Returns `None` if it was not sent yet.
            ///
            /// # Errors
            /// [`Cancelled`] if the sender was dropped, or the value was received before.
            pub fn try_recv(&mut self) -> Result<Option<T>, Cancelled> {
                let mut slot = $borrow(&self.slot);
                match slot.value.take() {
                    None if slot.sender_done => Err(Cancelled),
                    value => {
                        self.is_done = value.is_some();
                        Ok(value)
                    }
                }
            }
        }

        impl<T> Future for $Receiver<T> {
            type Output = Result<T, Cancelled>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                assert!(!self.is_done, "a handle or receiver was polled after completion");
                let slot = &self.slot;
                let polled = budget::poll_counted(cx, |cx| {
                    let waker = cx.waker();
                    poll_and_register(waker, |place| $borrow(slot).poll_recv(waker, place))
                });
                self.is_done = polled.is_ready();
                polled
            }
        }

        impl<T> Drop for $Receiver<T> {
            fn drop(&mut self) {
                let (wakers, _value, _waker) = $borrow(&self.slot).drop_receiver();
                wake_all(wakers);
            }
        }

        impl<T> fmt::Debug for $Sender<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Sender)).finish_non_exhaustive()
            }
        }

        impl<T> fmt::Debug for $Receiver<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Receiver)).finish_non_exhaustive()
            }
        }
    };
}

/// The sender of [`channel`]. Dropping it without sending cancels the receiver.
pub struct Sender<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

/// The receiver of [`channel`], a future of the value.
///
/// # Errors
/// [`Cancelled`] if the sender was dropped without sending.
///
/// # Panics
/// If polled again after it was ready, or after [`Receiver::try_recv`] returned the value.
///
/// # Cancel safety
/// Polling through a reference is safe: the value stays in the channel until it is returned.
pub struct Receiver<T> {
    slot: Rc<RefCell<Slot<T>>>,
    /// The value was returned, or the reason why there is none.
    is_done: bool,
}

/// The sender of [`sync_channel`], for any thread. Dropping it without sending cancels the
/// receiver.
pub struct SyncSender<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

/// The receiver of [`sync_channel`], a future of the value for any loop.
///
/// # Errors
/// [`Cancelled`] if the sender was dropped without sending.
///
/// # Panics
/// If polled again after it was ready, or after [`SyncReceiver::try_recv`] returned the value.
///
/// # Cancel safety
/// Polling through a reference is safe: the value stays in the channel until it is returned.
pub struct SyncReceiver<T> {
    slot: Arc<Mutex<Slot<T>>>,
    /// The value was returned, or the reason why there is none.
    is_done: bool,
}

impl<T> SyncReceiver<T> {
    /// Closes the channel: a later send fails and returns its value to the sender. Returns the
    /// value if it was sent before. Both happen under one lock, so no value is lost in between.
    pub(crate) fn close(&mut self) -> Option<T> {
        let (wakers, value, _waker) = lock(&self.slot).drop_receiver();
        wake_all(wakers);
        value
    }
}

oneshot_ends!(Sender, Receiver, borrow);
oneshot_ends!(SyncSender, SyncReceiver, lock);

fn borrow<T>(slot: &Rc<RefCell<Slot<T>>>) -> std::cell::RefMut<'_, Slot<T>> {
    slot.borrow_mut()
}

#[cfg(brigade_loom)]
fn lock<T>(slot: &Arc<Mutex<Slot<T>>>) -> loom::sync::MutexGuard<'_, Slot<T>> {
    slot.lock().unwrap()
}

#[cfg(all(test, brigade_loom))]
mod models {
    use loom::future::block_on;
    use loom::thread;

    use super::*;

    // loom reports a lost wake-up as a deadlock.
    #[test]
    fn a_value_sent_by_another_thread_wakes_the_receiver() {
        loom::model(|| {
            let (sender, receiver) = sync_channel();
            let thread = thread::spawn(move || sender.send(7).unwrap());
            assert_eq!(block_on(receiver), Ok(7));
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_sender_dropped_by_another_thread_wakes_the_receiver() {
        loom::model(|| {
            let (sender, receiver) = sync_channel::<u8>();
            let thread = thread::spawn(move || drop(sender));
            assert_eq!(block_on(receiver), Err(Cancelled));
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_value_sent_while_the_receiver_closes_is_seen_by_exactly_one_end() {
        loom::model(|| {
            let (sender, mut receiver) = sync_channel();
            let thread = thread::spawn(move || sender.send(7).err());
            let closed = receiver.close();
            drop(receiver);
            let returned = thread.join().unwrap();
            assert!(closed.is_some() != returned.is_some(), "{closed:?}, {returned:?}");
        });
    }

    #[test]
    fn a_receiver_dropped_by_another_thread_wakes_the_sender_that_waits_for_it() {
        loom::model(|| {
            let (sender, receiver) = sync_channel::<u8>();
            let thread = thread::spawn(move || drop(receiver));
            block_on(sender.closed());
            thread.join().unwrap();
        });
    }
}
