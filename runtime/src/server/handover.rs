//! Hands items from the acceptor to one loop: a bounded queue, and the wakers of both sides.
//!
//! The acceptor pushes, the loop pops. The acceptor may also take back what the loop has not
//! popped. loom checks that no item and no wake-up is lost (`models` at the end of this file).

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::server::acceptor_waker::AcceptorWaker;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{BoundedQueue, Mutex, lock_modelled};

/// Hands items from the acceptor to one loop.
pub(crate) struct Handover<T> {
    queue: BoundedQueue<T>,
    /// Items ever pushed.
    pushed: AtomicUsize,
    /// Items that were pushed and taken back.
    taken_back: AtomicUsize,
    /// Idle connections that the loop is asked to close, because descriptors have run out.
    to_shed: AtomicUsize,
    /// No more items will be pushed.
    closed: AtomicBool,
    /// No more items will be popped.
    abandoned: AtomicBool,
    /// The task that pops, while it waits.
    receiver: Mutex<Option<Waker>>,
    acceptor: Arc<AcceptorWaker>,
}

/// What a loop receives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Popped<T> {
    Item(T),
    /// A request to close up to this many idle connections.
    Shed(usize),
}

impl<T> Handover<T> {
    pub(crate) fn new(capacity: usize, acceptor: Arc<AcceptorWaker>) -> Self {
        Self {
            queue: BoundedQueue::new(capacity),
            pushed: AtomicUsize::new(0),
            taken_back: AtomicUsize::new(0),
            to_shed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            receiver: Mutex::new(None),
            acceptor,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the number of items that were pushed and not taken back.
    pub(crate) fn accepted(&self) -> usize {
        // Read in this order: an item is counted as pushed before it can be taken back.
        let taken_back = self.taken_back.load(Acquire);
        self.pushed.load(Relaxed) - taken_back
    }

    pub(crate) fn taken_back(&self) -> usize {
        self.taken_back.load(Relaxed)
    }

    pub(crate) fn acceptor(&self) -> &AcceptorWaker {
        &self.acceptor
    }
}

/// # Called by the acceptor
impl<T> Handover<T> {
    /// Gives an item to the loop. Returns it if the queue is full.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        // Counted first, so that it is never seen as taken back before it is counted.
        self.count_one();
        if let Err(item) = self.queue.push(item) {
            self.pushed.fetch_sub(1, Relaxed);
            return Err(item);
        }
        self.wake_receiver();
        Ok(())
    }

    /// Takes back the item that has waited longest.
    pub(crate) fn take_back(&self) -> Option<T> {
        let item = self.queue.pop()?;
        self.count_taken_back();
        Some(item)
    }

    /// Counts an item that was taken back after it was popped.
    pub(crate) fn count_taken_back(&self) {
        self.taken_back.fetch_add(1, Release);
    }

    /// Asks the loop to close up to `count` idle connections.
    pub(crate) fn shed(&self, count: usize) {
        self.to_shed.store(count, Release);
        self.wake_receiver();
    }

    /// Records that no more items will be pushed.
    pub(crate) fn close(&self) {
        self.closed.store(true, Release);
        self.wake_receiver();
    }

    /// Returns `true` once the loop pops no more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Acquire)
    }

    fn wake_receiver(&self) {
        let waker = lock_modelled(&self.receiver).take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// # Called by the loop
impl<T> Handover<T> {
    /// Counts an item that the loop got in another way.
    pub(crate) fn count_one(&self) {
        self.pushed.fetch_add(1, Relaxed);
    }

    /// Ready with the next item, or with `None` once the queue is closed and empty.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<Popped<T>>> {
        if let Some(popped) = self.pop() {
            return Poll::Ready(Some(popped));
        }
        // Cloned before the lock is taken, and the one before is dropped after it is released.
        let waker = cx.waker().clone();
        let _before = lock_modelled(&self.receiver).replace(waker);
        // A push or close that came before the waker was stored found none to wake.
        let is_closed = self.closed.load(Acquire);
        match self.pop() {
            None if !is_closed => Poll::Pending,
            popped => Poll::Ready(popped),
        }
    }

    fn pop(&self) -> Option<Popped<T>> {
        if self.to_shed.load(Acquire) > 0 {
            return Some(Popped::Shed(self.to_shed.swap(0, AcqRel)));
        }
        let item = self.queue.pop()?;
        self.acceptor.wake_for_room();
        Some(Popped::Item(item))
    }

    /// Records that the loop pops no more.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Release);
        self.acceptor.wake();
    }
}

impl<T> fmt::Debug for Handover<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

#[cfg(all(test, brigade_loom))]
mod models {
    use std::future::poll_fn;

    use loom::future::block_on;
    use loom::thread;

    use super::*;

    fn handover(capacity: usize) -> Arc<Handover<u32>> {
        Arc::new(Handover::new(capacity, Arc::default()))
    }

    fn pop(handover: &Handover<u32>) -> Option<Popped<u32>> {
        block_on(poll_fn(|cx| handover.poll_pop(cx)))
    }

    // loom reports a lost wake-up as a deadlock.
    #[test]
    fn every_push_and_the_end_wake_a_loop_that_waits() {
        loom::model(|| {
            let handover = handover(2);
            let acceptor = thread::spawn({
                let handover = handover.clone();
                move || {
                    handover.push(1).unwrap();
                    handover.close();
                }
            });
            assert_eq!(pop(&handover), Some(Popped::Item(1)));
            assert_eq!(pop(&handover), None);
            acceptor.join().unwrap();
        });
    }

    #[test]
    fn a_request_to_close_idle_connections_wakes_a_loop_that_waits() {
        loom::model(|| {
            let handover = handover(1);
            let acceptor = thread::spawn({
                let handover = handover.clone();
                move || handover.shed(3)
            });
            assert_eq!(pop(&handover), Some(Popped::Shed(3)));
            acceptor.join().unwrap();
        });
    }

    #[test]
    fn an_acceptor_that_finds_the_queue_full_is_woken_when_the_loop_pops() {
        loom::model(|| {
            let handover = handover(1);
            handover.push(1).unwrap();
            let loop_ = thread::spawn({
                let handover = handover.clone();
                move || [pop(&handover), pop(&handover)]
            });
            block_on(poll_fn(|cx| handover.acceptor.poll_room(cx, || !handover.is_full())));
            handover.push(2).unwrap();
            assert_eq!(loop_.join().unwrap(), [Some(Popped::Item(1)), Some(Popped::Item(2))]);
        });
    }

    #[test]
    fn an_item_is_either_popped_or_taken_back_and_counted_as_such() {
        loom::model(|| {
            let handover = handover(1);
            let loop_ = thread::spawn({
                let handover = handover.clone();
                move || pop(&handover).is_some()
            });
            let counter = thread::spawn({
                let handover = handover.clone();
                // Panics if more are taken back than were pushed.
                move || handover.accepted()
            });
            handover.push(1).unwrap();
            let taken_back = handover.take_back().is_some();
            handover.close();
            assert!(loop_.join().unwrap() != taken_back);
            assert!(counter.join().unwrap() <= 1);
            assert_eq!(handover.accepted(), usize::from(!taken_back));
        });
    }

    #[test]
    fn an_acceptor_that_waits_for_room_is_woken_when_the_loop_pops_no_more() {
        loom::model(|| {
            let handover = handover(1);
            handover.push(1).unwrap();
            let loop_ = thread::spawn({
                let handover = handover.clone();
                move || handover.abandon()
            });
            block_on(poll_fn(|cx| match handover.acceptor.poll_room(cx, || false) {
                Poll::Pending if handover.is_abandoned() => Poll::Ready(()),
                poll => poll,
            }));
            assert_eq!(handover.take_back(), Some(1));
            loop_.join().unwrap();
        });
    }
}
