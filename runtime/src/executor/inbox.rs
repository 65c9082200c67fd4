//! The lock-free queue through which other threads send messages to a loop.
//!
//! Any thread pushes, and only the loop pops. A push notifies the selector at most once, and only
//! if the loop is parked in it: messages that arrive while the loop turns are found by its next
//! turn. The state is three bits. Each change of them is one read-modify-write, so that of two
//! threads the second one sees what the first one did:
//!
//! | bit | set by | cleared by |
//! | --- | --- | --- |
//! | `NOTIFIED` | a thread, after it pushes | the loop, before it pops |
//! | `PARKED` | the loop, before it waits | the loop, after it waited |
//! | `CLOSED` | the loop, when it ends | never |
//!
//! - If the push comes after the loop parked, the pushing thread sees `PARKED` and notifies. If it
//!   comes before, the loop sees `NOTIFIED` as it parks, and does not wait.
//! - If the push comes after the loop closed, the pushing thread sees `CLOSED` and empties the
//!   queue. If it comes before, the loop empties the queue after it closed.
//!
//! loom checks both (`models` at the end of this file).

use crate::observe::nesting::nested;
use crate::sync::Queue;
use crate::sync::atomic::AtomicU8;
use crate::sync::atomic::Ordering::{AcqRel, Relaxed};

/// Wakes a selector from another thread.
pub(crate) trait Notify {
    /// Makes the current wait, or else the next one, return at once.
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

impl<M: 'static, N: Notify> Inbox<M, N> {
    pub(crate) fn new(notifier: N) -> Self {
        Self { queue: Queue::new(), bits: AtomicU8::new(0), notifier }
    }

    /// Sends `message` to the loop. Returns `false` if the loop has ended; then the message is
    /// dropped, by this thread or by the loop's.
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

    /// Returns `true` if the loop has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.bits.load(Relaxed) & CLOSED != 0
    }

    /// Clears `NOTIFIED`. Returns `true` if it was set, so that there may be messages. The loop
    /// must call this before [`Inbox::pop`].
    pub(crate) fn clear_notified(&self) -> bool {
        // A push that this load misses finds the loop parked, or is found by `park`.
        self.bits.load(Relaxed) & NOTIFIED != 0 && {
            self.bits.fetch_and(!NOTIFIED, AcqRel);
            true
        }
    }

    /// Sets `NOTIFIED`, because the loop leaves messages for its next turn and must not wait.
    pub(crate) fn set_notified(&self) {
        self.bits.fetch_or(NOTIFIED, AcqRel);
    }

    /// Takes the oldest message. Only the loop calls this.
    pub(crate) fn pop(&self) -> Option<M> {
        self.queue.pop()
    }

    /// Records that the loop is about to wait. Returns `false` if it must not, because there are
    /// messages.
    pub(crate) fn park(&self) -> bool {
        self.bits.fetch_or(PARKED, AcqRel) & NOTIFIED == 0
    }

    /// Records that the loop has waited.
    pub(crate) fn unpark(&self) {
        self.bits.fetch_and(!PARKED, AcqRel);
    }

    /// Passes the messages in the queue to `discard`, because the loop ends. Those that are sent
    /// from now on are dropped.
    pub(crate) fn close(&self, discard: impl FnMut(M)) {
        self.bits.fetch_or(CLOSED, AcqRel);
        std::iter::from_fn(|| self.queue.pop()).for_each(discard);
    }

    /// Drops all messages. A message may own what sends further ones when it is dropped.
    fn discard(&self) {
        while let Some(message) = self.queue.pop() {
            nested(move || drop(message));
        }
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
        assert!(inbox.clear_notified());
        assert_eq!(std::iter::from_fn(|| inbox.pop()).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!inbox.clear_notified());
        assert!(inbox.push(4));
        assert_eq!(inbox.notifier.0.get(), 1, "a loop that is awake is not notified");
    }

    #[test]
    fn a_push_to_a_loop_that_is_not_parked_does_not_notify_but_keeps_it_from_waiting() {
        let inbox = Inbox::new(Count::default());
        inbox.push(1);
        assert_eq!(inbox.notifier.0.get(), 0);
        assert!(!inbox.park());
    }

    #[test]
    fn messages_that_are_left_or_sent_after_the_end_are_dropped() {
        let inbox = Inbox::new(Count::default());
        let (early, late) = (std::rc::Rc::new(()), std::rc::Rc::new(()));
        assert!(inbox.push(early.clone()));
        inbox.close(drop);
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

    /// A selector whose wait ends only by a notification. A lost notification is a deadlock, which
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
            if inbox.clear_notified() {
                while inbox.pop().is_some() {
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
    fn every_push_ends_the_wait_of_the_loop() {
        let mut model = loom::model::Builder::new();
        // Exploring all interleavings of three threads takes 15 seconds.
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
    fn a_message_whose_push_races_with_the_end_is_dropped_by_one_side() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(Eventfd::default()));
            let message = Arc::new(());
            let pusher = {
                let (inbox, message) = (inbox.clone(), message.clone());
                thread::spawn(move || {
                    inbox.push(message);
                })
            };
            inbox.close(drop);
            pusher.join().unwrap();
            assert_eq!(Arc::strong_count(&message), 1, "the message was not dropped");
        });
    }
}
