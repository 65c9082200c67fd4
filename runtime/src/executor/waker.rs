//! Waking a task: by pushing its key on the ready queue of this thread's loop, or, from any other
//! thread, through the loop's inbox.
//!
//! A waker may outlive its task, its loop and its thread. Its key is stale then, or its inbox is
//! closed, and waking does nothing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

use crate::executor::inbox::{Inbox, Notify};
use crate::executor::slots::Key;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sync::atomic::{AtomicBool, AtomicU64, fence};

/// What other threads send into a loop.
pub(crate) enum Message {
    /// The task may go on.
    Wake(Key),
    /// To be called on the loop's thread.
    Call(Box<dyn FnOnce() + Send>),
}

pub(crate) type LoopInbox = Inbox<Message, mio::Waker>;

/// The keys of the tasks that may go on, in the order in which they became ready.
pub(crate) struct ReadyQueue {
    keys: RefCell<VecDeque<Key>>,
    inbox: Arc<LoopInbox>,
}

thread_local! {
    /// The ready queue of this thread's loop.
    static READY: RefCell<Option<Rc<ReadyQueue>>> = const { RefCell::new(None) };

    /// Where its inbox is; zero without a loop. It tells a waker whose thread it is called on, for
    /// less than it takes to borrow the queue.
    static INBOX_ADDRESS: Cell<usize> = const { Cell::new(0) };
}

impl ReadyQueue {
    pub(crate) fn new(inbox: Arc<LoopInbox>) -> Rc<Self> {
        Rc::new(Self { keys: RefCell::new(VecDeque::new()), inbox })
    }

    /// Makes `queue` the one that wakers find on this thread, or none.
    pub(crate) fn install(queue: Option<Rc<Self>>) {
        INBOX_ADDRESS.set(queue.as_ref().map_or(0, |queue| address(&queue.inbox)));
        READY.set(queue);
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.borrow().len()
    }

    pub(crate) fn push(&self, key: Key) {
        self.keys.borrow_mut().push_back(key);
    }

    pub(crate) fn pop(&self) -> Option<Key> {
        self.keys.borrow_mut().pop_front()
    }
}

/// The waker of one task. It is used again by a later task once nobody holds a clone of it.
pub(crate) struct TaskWaker {
    /// Whether the task is in the ready queue. Only the loop's own thread touches it.
    queued: AtomicBool,
    remote: RemoteWake<mio::Waker>,
}

impl TaskWaker {
    pub(crate) fn new(key: Key, inbox: Arc<LoopInbox>) -> Self {
        Self { queued: AtomicBool::new(false), remote: RemoteWake::new(key, inbox) }
    }

    /// Whether nobody but the loop, which has two, holds a reference: then nobody can make a
    /// further one.
    pub(crate) fn is_unshared(self: &Arc<Self>) -> bool {
        let is_unshared = Arc::strong_count(self) == 2;
        // What others did with theirs comes before what is done from here on.
        fence(Acquire);
        is_unshared
    }

    /// Makes this, which must be unshared, the waker of another task. What is still on its way to
    /// the old one finds a stale key.
    pub(crate) fn rename(&self, key: Key) {
        self.queued.store(false, Relaxed);
        self.remote.key.store(key.to_u64(), Relaxed);
        self.remote.in_inbox.store(false, Relaxed);
    }

    /// Whether the task is in the ready queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.load(Relaxed)
    }

    /// The loop took the task from the ready queue; from now on it may be woken again.
    pub(crate) fn left_queue(&self) {
        self.queued.store(false, Relaxed);
    }

    /// The loop took a wake of the task from its inbox.
    pub(crate) fn left_inbox(&self) {
        self.remote.taken();
    }

    /// Puts the task in `ready` unless it is there.
    pub(crate) fn wake_in(&self, ready: &ReadyQueue) {
        // Only one thread gets here, so load and store need not be one operation.
        if !self.queued.load(Relaxed) {
            self.queued.store(true, Relaxed);
            ready.push(self.remote.key());
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if INBOX_ADDRESS.get() != address(&self.remote.inbox) {
            return self.remote.wake();
        }
        // The thread may be past its destructors: then its loop, never dropped, runs no more.
        let _ = READY.try_with(|ready| {
            if let Some(ready) = &*ready.borrow() {
                self.wake_in(ready);
            }
        });
    }
}

/// Nothing else has it while somebody holds the inbox.
fn address<T>(inbox: &Arc<T>) -> usize {
    Arc::as_ptr(inbox).addr()
}

/// Wakes a task from a thread that is not its loop's.
struct RemoteWake<N> {
    /// The task's key; changed only while no other thread can see it.
    key: AtomicU64,
    /// Whether a wake of the task is on its way, so that the next one need not be sent.
    in_inbox: AtomicBool,
    inbox: Arc<Inbox<Message, N>>,
}

impl<N: Notify> RemoteWake<N> {
    fn new(key: Key, inbox: Arc<Inbox<Message, N>>) -> Self {
        Self { key: AtomicU64::new(key.to_u64()), in_inbox: AtomicBool::new(false), inbox }
    }

    fn key(&self) -> Key {
        Key::from_u64(self.key.load(Relaxed))
    }

    fn wake(&self) {
        // A read-modify-write here and in `taken`: a wake that finds `true` comes before the
        // `taken` that clears it, and so before the poll that follows.
        if !self.in_inbox.swap(true, AcqRel) {
            self.send();
        }
    }

    /// Not inlined: nearly all wakes end before it, and would save registers for it.
    #[inline(never)]
    fn send(&self) {
        self.inbox.push(Message::Wake(self.key()));
    }

    fn taken(&self) {
        self.in_inbox.swap(false, AcqRel);
    }
}

#[cfg(all(test, brigade_loom))]
mod models {
    use std::sync::atomic::AtomicUsize as Uninstrumented;

    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;
    use crate::executor::slots::Slots;

    struct Silent;

    impl Notify for Silent {
        fn notify(&self) {}
    }

    fn key() -> Key {
        Slots::new().insert(())
    }

    #[test]
    fn what_happened_before_a_wake_is_seen_by_a_poll_after_it() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(Silent));
            let wake = Arc::new(RemoteWake::new(key(), inbox.clone()));
            let work = Arc::new(AtomicUsize::new(0));
            let wakers: Vec<_> = (0..2)
                .map(|_| {
                    let (wake, work) = (wake.clone(), work.clone());
                    thread::spawn(move || {
                        work.fetch_add(1, Relaxed);
                        wake.wake();
                    })
                })
                .collect();
            let mut seen = 0;
            let mut turn = || {
                inbox.open();
                while inbox.take().is_some() {
                    wake.taken();
                    seen = work.load(Relaxed);
                }
            };
            turn();
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
            turn();
            assert_eq!(seen, 2, "a wake was lost: the last poll missed work that came before it");
        });
    }

    #[test]
    fn a_waker_used_while_and_after_its_loop_ends_does_nothing() {
        static LEFT: Uninstrumented = Uninstrumented::new(0);
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(Silent));
            let wake = Arc::new(RemoteWake::new(key(), inbox.clone()));
            let late = {
                let wake = wake.clone();
                thread::spawn(move || wake.wake())
            };
            inbox.close();
            late.join().unwrap();
            wake.wake();
            LEFT.fetch_add(std::iter::from_fn(|| inbox.take()).count(), Relaxed);
        });
        assert_eq!(LEFT.load(Relaxed), 0, "a message stayed in the inbox of a loop that ended");
    }

    #[test]
    fn a_wake_that_comes_while_the_task_is_polled_is_not_swallowed() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(Silent));
            let wake = Arc::new(RemoteWake::new(key(), inbox.clone()));
            let work = Arc::new(AtomicUsize::new(0));
            wake.wake();
            let late = {
                let (wake, work) = (wake.clone(), work.clone());
                thread::spawn(move || {
                    work.store(1, Relaxed);
                    wake.wake();
                })
            };
            let mut seen = 0;
            let mut turn = || {
                inbox.open();
                while inbox.take().is_some() {
                    wake.taken();
                    seen = work.load(Relaxed);
                }
            };
            turn();
            late.join().unwrap();
            turn();
            assert_eq!(seen, 1, "the late wake was swallowed");
        });
    }
}
