//! One value from here to there: asyncio's `Future`, completed by hand.
//!
//! [`channel`] is for two tasks of one loop, [`sync_channel`] for a value from another thread.
//! Both end with [`Cancelled`] if the sender is dropped: a receiver never waits in vain.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;
#[cfg(not(brigade_loom))]
use crate::sync::lock;

/// The sender was dropped without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender of a oneshot was dropped without sending a value")
    }
}

impl std::error::Error for Cancelled {}

/// What both sides share: the value on its way, and who waits for what.
struct Slot<T> {
    value: Option<T>,
    sender_gone: bool,
    receiver_gone: bool,
    receiver: Option<Waker>,
    /// Who waits in `closed` for the receiver to go.
    sender: Option<Waker>,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self { value: None, sender_gone: false, receiver_gone: false, receiver: None, sender: None }
    }

    /// Keeps the value for the receiver. Returns it if the receiver is gone.
    fn send(&mut self, value: T) -> Result<Option<Waker>, T> {
        if self.receiver_gone {
            return Err(value);
        }
        self.value = Some(value);
        self.sender_gone = true;
        Ok(self.receiver.take())
    }

    fn drop_sender(&mut self) -> Option<Waker> {
        self.sender_gone = true;
        self.receiver.take()
    }

    fn drop_receiver(&mut self) -> (Option<Waker>, Option<T>) {
        self.receiver_gone = true;
        (self.sender.take(), self.value.take())
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Cancelled>> {
        if let Some(value) = self.value.take() {
            return Poll::Ready(Ok(value));
        }
        if self.sender_gone {
            return Poll::Ready(Err(Cancelled));
        }
        keep(&mut self.receiver, cx);
        Poll::Pending
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.receiver_gone {
            return Poll::Ready(());
        }
        keep(&mut self.sender, cx);
        Poll::Pending
    }
}

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

/// A value between two tasks of one loop.
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
    (Sender { slot: slot.clone() }, Receiver { slot })
}

/// A value that may come from any thread, to a task on any loop.
#[must_use]
pub fn sync_channel<T>() -> (SyncSender<T>, SyncReceiver<T>) {
    let slot = Arc::new(Mutex::new(Slot::new()));
    (SyncSender { slot: slot.clone() }, SyncReceiver { slot })
}

macro_rules! oneshot_ends {
    ($Sender:ident, $Receiver:ident, $borrow:ident) => {
        impl<T> $Sender<T> {
            /// Completes the receiver with `value`. asyncio's `set_result`; to set an exception,
            /// send a `Result`.
            ///
            /// # Errors
            /// The value, if the receiver was dropped.
            pub fn send(self, value: T) -> Result<(), T> {
                let waker = $borrow(&self.slot).send(value)?;
                waker.into_iter().for_each(Waker::wake);
                Ok(())
            }

            /// Returns `true` if the receiver was dropped: nobody waits any more.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                $borrow(&self.slot).receiver_gone
            }

            /// Waits until the receiver is dropped.
            pub async fn closed(&self) {
                std::future::poll_fn(|cx| $borrow(&self.slot).poll_closed(cx)).await;
            }
        }

        impl<T> Drop for $Sender<T> {
            fn drop(&mut self) {
                let waker = $borrow(&self.slot).drop_sender();
                waker.into_iter().for_each(Waker::wake);
            }
        }

        impl<T> $Receiver<T> {
            /// The value if it is there already; `None` while it may still come.
            ///
            /// # Errors
            /// [`Cancelled`] if the sender was dropped, or the value was taken before.
            pub fn try_recv(&mut self) -> Result<Option<T>, Cancelled> {
                let mut slot = $borrow(&self.slot);
                match slot.value.take() {
                    None if slot.sender_gone => Err(Cancelled),
                    value => Ok(value),
                }
            }
        }

        impl<T> Future for $Receiver<T> {
            type Output = Result<T, Cancelled>;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                $borrow(&self.slot).poll_receive(cx)
            }
        }

        impl<T> Drop for $Receiver<T> {
            fn drop(&mut self) {
                let (waker, _value) = $borrow(&self.slot).drop_receiver();
                waker.into_iter().for_each(Waker::wake);
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

/// The sending end of [`channel`]. Dropping it cancels the receiver.
pub struct Sender<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

/// The receiving end of [`channel`]: await it.
pub struct Receiver<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

/// The sending end of [`sync_channel`]; it may be sent to another thread.
/// Dropping it cancels the receiver.
pub struct SyncSender<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

/// The receiving end of [`sync_channel`]: await it on any loop.
pub struct SyncReceiver<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T> SyncReceiver<T> {
    /// Receives no more: what is sent from now on goes back to the sender. Returns the value if it
    /// came before. In one step, so that a value is seen on one side or the other.
    pub(crate) fn close(&mut self) -> Option<T> {
        let (waker, value) = lock(&self.slot).drop_receiver();
        waker.into_iter().for_each(Waker::wake);
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

    /// A lost wake would leave the receiver waiting, which loom reports as a deadlock.
    #[test]
    fn joining_across_threads_ends_with_the_value() {
        loom::model(|| {
            let (sender, receiver) = sync_channel();
            let thread = thread::spawn(move || sender.send(7).unwrap());
            assert_eq!(block_on(receiver), Ok(7));
            thread.join().unwrap();
        });
    }

    #[test]
    fn joining_across_threads_ends_when_the_other_one_gives_no_value() {
        loom::model(|| {
            let (sender, receiver) = sync_channel::<u8>();
            let thread = thread::spawn(move || drop(sender));
            assert_eq!(block_on(receiver), Err(Cancelled));
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_value_that_races_with_the_end_of_its_receiver_is_seen_by_one_side() {
        loom::model(|| {
            let (sender, mut receiver) = sync_channel();
            let thread = thread::spawn(move || sender.send(7).err());
            let closed = receiver.close();
            drop(receiver);
            let given_back = thread.join().unwrap();
            assert!(closed.is_some() != given_back.is_some(), "{closed:?}, {given_back:?}");
        });
    }

    #[test]
    fn a_sender_that_watches_learns_of_the_receivers_end() {
        loom::model(|| {
            let (sender, receiver) = sync_channel::<u8>();
            let thread = thread::spawn(move || drop(receiver));
            block_on(sender.closed());
            thread.join().unwrap();
        });
    }
}
