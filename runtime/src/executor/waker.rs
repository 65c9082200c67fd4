//! The wakers of tasks. On the loop's own thread a waker pushes the task's key on the ready queue;
//! on other threads it sends the key to the loop's inbox.
//!
//! A waker may outlive its task, its loop and its thread. Then its key is stale or the inbox is
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

/// What other threads send to a loop.
pub(crate) enum Message {
    /// Makes a task ready.
    Wake(Key),
    /// Is called on the loop's thread.
    Call(Box<dyn FnOnce() + Send>),
}

pub(crate) type LoopInbox = Inbox<Message, mio::Waker>;

/// The keys of the ready tasks, in the order in which they became ready.
pub(crate) struct ReadyQueue {
    keys: RefCell<VecDeque<Key>>,
    inbox: Arc<LoopInbox>,
}

thread_local! {
    /// The ready queue of this thread's loop.
    static READY: RefCell<Option<Rc<ReadyQueue>>> = const { RefCell::new(None) };

    /// The address of the inbox of this thread's loop, or zero. A waker compares it with its own
    /// inbox to find out whether it is on its loop's thread, which is cheaper than a borrow of the
    /// queue.
    static INBOX_ADDRESS: Cell<usize> = const { Cell::new(0) };
}

impl ReadyQueue {
    pub(crate) fn new(inbox: Arc<LoopInbox>) -> Rc<Self> {
        Rc::new(Self { keys: RefCell::new(VecDeque::new()), inbox })
    }

    /// Sets the ready queue of this thread. Does nothing while the thread's locals are destroyed.
    pub(crate) fn install(queue: Option<Rc<Self>>) {
        INBOX_ADDRESS.set(queue.as_ref().map_or(0, |queue| address(&queue.inbox)));
        let _ = READY.try_with(|ready| ready.replace(queue));
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

/// The waker of one task. Once it has no clones, a later task uses it again.
pub(crate) struct TaskWaker {
    /// The task is in the ready queue. Only the loop's own thread reads and writes it.
    queued: AtomicBool,
    remote: RemoteWake<mio::Waker>,
}

impl TaskWaker {
    pub(crate) fn new(key: Key, inbox: Arc<LoopInbox>) -> Self {
        Self { queued: AtomicBool::new(false), remote: RemoteWake::new(key, inbox) }
    }

    /// Returns `true` if there are no references but the two that the loop holds. Then no other
    /// thread can make one.
    pub(crate) fn is_unshared(self: &Arc<Self>) -> bool {
        let is_unshared = Arc::strong_count(self) == 2;
        // Synchronizes with the drop of the last other reference.
        fence(Acquire);
        is_unshared
    }

    /// Makes this the waker of another task. It must be unshared. A wake of the old task that is
    /// still in the inbox finds a stale key.
    pub(crate) fn reuse_for(&self, key: Key) {
        self.queued.store(false, Relaxed);
        self.remote.key.store(key.to_u64(), Relaxed);
        self.remote.in_inbox.store(false, Relaxed);
    }

    /// Returns `true` if the task is in the ready queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.load(Relaxed)
    }

    /// Records that the task left the ready queue, so that the next wake queues it again.
    pub(crate) fn clear_queued(&self) {
        self.queued.store(false, Relaxed);
    }

    /// Records that a wake of the task left the inbox, so that the next one is sent again.
    pub(crate) fn clear_in_inbox(&self) {
        self.remote.clear_in_inbox();
    }

    /// Pushes the task on `ready`, the queue of its loop, unless it is there already.
    pub(crate) fn wake_in(&self, ready: &ReadyQueue) {
        // Only the loop's thread gets here, so load and store need not be one operation.
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
        // Fails while the thread's locals are destroyed. Then its loop does not run any more.
        let _ = READY.try_with(|ready| {
            if let Some(ready) = &*ready.borrow() {
                self.wake_in(ready);
            }
        });
    }
}

/// Returns the address of `inbox`, which is unique while a reference exists.
fn address<T>(inbox: &Arc<T>) -> usize {
    Arc::as_ptr(inbox).addr()
}

/// Wakes a task from another thread than its loop's.
struct RemoteWake<N> {
    /// The task's key. It changes only while no other thread holds a reference.
    key: AtomicU64,
    /// A wake of the task is in the inbox, so the next one need not be sent.
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
        // A read-modify-write here and in `clear_in_inbox`: a wake that finds `true` happens before
        // the `clear_in_inbox` that clears it, and so before the poll that follows.
        if !self.in_inbox.swap(true, AcqRel) {
            self.send();
        }
    }

    /// Not inlined: nearly all wakes end before it, and inlining would make them save registers.
    #[inline(never)]
    fn send(&self) {
        self.inbox.push(Message::Wake(self.key()));
    }

    fn clear_in_inbox(&self) {
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
    fn a_poll_after_a_wake_sees_what_happened_before_the_wake() {
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
                inbox.clear_notified();
                while inbox.pop().is_some() {
                    wake.clear_in_inbox();
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
    fn a_waker_that_is_used_during_and_after_the_end_of_its_loop_does_nothing() {
        static LEFT: Uninstrumented = Uninstrumented::new(0);
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(Silent));
            let wake = Arc::new(RemoteWake::new(key(), inbox.clone()));
            let late = {
                let wake = wake.clone();
                thread::spawn(move || wake.wake())
            };
            inbox.close(drop);
            late.join().unwrap();
            wake.wake();
            LEFT.fetch_add(std::iter::from_fn(|| inbox.pop()).count(), Relaxed);
        });
        assert_eq!(LEFT.load(Relaxed), 0, "a message stayed in the inbox of a loop that ended");
    }

    #[test]
    fn a_wake_during_a_poll_of_the_task_is_not_lost() {
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
                inbox.clear_notified();
                while inbox.pop().is_some() {
                    wake.clear_in_inbox();
                    seen = work.load(Relaxed);
                }
            };
            turn();
            late.join().unwrap();
            turn();
            assert_eq!(seen, 1, "the late wake was lost");
        });
    }
}
