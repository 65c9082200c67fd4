//! The lock-free queue into a loop.
//!
//! Any thread pushes; the loop alone takes. A push is followed by at most one notification of the
//! selector, and only when the loop is parked in it: what arrives while the loop turns is found by
//! the next turn. Three bits say all there is to know, and each change of them is one
//! read-modify-write, so that whoever comes second sees what the first one did:
//!
//! | bit | set by | cleared by |
//! | --- | --- | --- |
//! | `NOTIFIED` | whoever pushed | the loop, before it takes |
//! | `PARKED` | the loop, before it waits | the loop, after it waited |
//! | `CLOSED` | the loop, when it ends | nobody |
//!
//! - A pusher that comes after the loop parked sees `PARKED` and notifies. One that came before
//!   left `NOTIFIED`, which the loop sees as it parks: then it does not wait.
//! - A pusher that comes after the loop closed sees `CLOSED` and takes back what the queue holds.
//!   One that came before is seen by the loop, which empties the queue after it closed.
//!
//! loom checks both (`tests` at the end of this file).

use crate::sync::Queue;
use crate::sync::atomic::AtomicU8;
use crate::sync::atomic::Ordering::{AcqRel, Relaxed};

/// Wakes a selector from another thread.
pub(crate) trait Notify {
    /// Makes a wait that is under way, or the next one, return at once.
    fn notify(&self);
}

pub(crate) struct Inbox<M, N> {
    queue: Queue<M>,
    bits: AtomicU8,
    notifier: N,
}

const NOTIFIED: u8 = 1;
const PARKED: u8 = 2;
const CLOSED: u8 = 4;

impl<M, N: Notify> Inbox<M, N> {
    pub(crate) fn new(notifier: N) -> Self {
        Self { queue: Queue::new(), bits: AtomicU8::new(0), notifier }
    }

    /// Hands `message` to the loop. Returns `false` if the loop has ended: then the message is
    /// dropped, here or by the loop.
    pub(crate) fn push(&self, message: M) -> bool {
        self.queue.push(message);
        let before = self.bits.fetch_or(NOTIFIED, AcqRel);
        if before & CLOSED != 0 {
            self.discard();
            return false;
        }
        if before & (NOTIFIED | PARKED) == PARKED {
            self.notifier.notify();
        }
        true
    }

    /// Whether the loop has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.bits.load(Relaxed) & CLOSED != 0
    }

    /// The loop: whether there may be messages. Must be asked before [`Inbox::take`].
    pub(crate) fn open(&self) -> bool {
        // A push that this load misses finds the loop parked, or is found by `park`.
        self.bits.load(Relaxed) & NOTIFIED != 0 && {
            self.bits.fetch_and(!NOTIFIED, AcqRel);
            true
        }
    }

    /// The loop leaves messages for its next turn: it must not wait before.
    pub(crate) fn reopen(&self) {
        self.bits.fetch_or(NOTIFIED, AcqRel);
    }

    /// The loop: the message that came first.
    pub(crate) fn take(&self) -> Option<M> {
        self.queue.pop()
    }

    /// The loop is about to wait. Returns `false` if it must not: messages have come.
    pub(crate) fn park(&self) -> bool {
        self.bits.fetch_or(PARKED, AcqRel) & NOTIFIED == 0
    }

    /// The loop has waited.
    pub(crate) fn unpark(&self) {
        self.bits.fetch_and(!PARKED, AcqRel);
    }

    /// The loop ends: what the inbox holds is dropped, and so is all that comes later.
    pub(crate) fn close(&self) {
        self.bits.fetch_or(CLOSED, AcqRel);
        self.discard();
    }

    fn discard(&self) {
        while self.queue.pop().is_some() {}
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Default)]
    struct Count(Cell<u32>);

    impl Notify for Count {
        fn notify(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn many_pushes_notify_a_parked_loop_once() {
        let inbox = Inbox::new(Count::default());
        assert!(inbox.park());
        assert!(inbox.push(1) && inbox.push(2) && inbox.push(3));
        assert_eq!(inbox.notifier.0.get(), 1);
        inbox.unpark();
        assert!(inbox.open());
        assert_eq!(std::iter::from_fn(|| inbox.take()).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!inbox.open());
    }

    #[test]
    fn a_push_to_a_loop_that_turns_notifies_nobody_and_keeps_it_from_waiting() {
        let inbox = Inbox::new(Count::default());
        inbox.push(1);
        assert_eq!(inbox.notifier.0.get(), 0);
        assert!(!inbox.park());
    }

    #[test]
    fn what_comes_after_the_end_is_dropped() {
        let inbox = Inbox::new(Count::default());
        let (early, late) = (std::rc::Rc::new(()), std::rc::Rc::new(()));
        assert!(inbox.push(early.clone()));
        inbox.close();
        assert!(!inbox.push(late.clone()));
        assert!(inbox.is_closed());
        assert_eq!((std::rc::Rc::strong_count(&early), std::rc::Rc::strong_count(&late)), (1, 1));
    }
}

#[cfg(all(test, brigade_loom))]
mod models {
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// A selector that can only wait to be notified: a lost notification is a deadlock, which
    /// loom reports.
    #[derive(Default)]
    struct Eventfd {
        raised: Mutex<bool>,
        changed: Condvar,
    }

    impl Eventfd {
        fn wait(&self) {
            let mut raised = self.raised.lock().unwrap();
            while !*raised {
                raised = self.changed.wait(raised).unwrap();
            }
            *raised = false;
        }
    }

    impl Notify for Eventfd {
        fn notify(&self) {
            *self.raised.lock().unwrap() = true;
            self.changed.notify_one();
        }
    }

    fn turn_until(inbox: &Inbox<u32, Eventfd>, wanted: usize) {
        let mut taken = 0;
        while taken < wanted {
            if inbox.open() {
                while inbox.take().is_some() {
                    taken += 1;
                }
            }
            if taken < wanted {
                if inbox.park() {
                    inbox.notifier.wait();
                }
                inbox.unpark();
            }
        }
    }

    #[test]
    fn no_push_leaves_the_loop_waiting() {
        let mut model = loom::model::Builder::new();
        // All interleavings of three threads take a quarter of a minute.
        model.preemption_bound.get_or_insert(4);
        model.check(|| {
            let inbox = Arc::new(Inbox::new(Eventfd::default()));
            let pushers: Vec<_> = (0..2)
                .map(|n| {
                    let inbox = inbox.clone();
                    thread::spawn(move || assert!(inbox.push(n)))
                })
                .collect();
            turn_until(&inbox, 2);
            pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        });
    }

    #[test]
    fn a_push_that_races_with_the_end_is_dropped_by_one_side() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(Eventfd::default()));
            let message = Arc::new(());
            let pusher = {
                let (inbox, message) = (inbox.clone(), message.clone());
                thread::spawn(move || {
                    inbox.push(message);
                })
            };
            inbox.close();
            pusher.join().unwrap();
            assert_eq!(Arc::strong_count(&message), 1, "nobody took it back");
        });
    }
}
