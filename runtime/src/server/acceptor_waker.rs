//! Wakes the acceptor while it waits for room in a queue, or for news from the loops.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, fence};
use crate::sync::{Mutex, lock_modelled};

/// Wakes the acceptor while it waits for room in a queue, or for news from the loops.
#[derive(Debug, Default)]
pub(crate) struct AcceptorWaker {
    is_waiting_for_room: AtomicBool,
    /// A loop has run out of descriptors.
    is_exhausted: AtomicBool,
    /// Connections that were accepted and closed at once because descriptors had run out.
    turned_away: Arc<std::sync::atomic::AtomicUsize>,
    waker: Mutex<Option<Waker>>,
}

/// # Called by the acceptor
impl AcceptorWaker {
    /// Registers the acceptor's waker, to be woken when a loop starts, ends, or runs out of
    /// descriptors. What these have changed before is to be looked at after the call.
    pub(crate) fn register(&self, acceptor: &Waker) {
        // Cloned before the lock is taken, and the one before is dropped after it is released.
        let acceptor = acceptor.clone();
        let _before = lock_modelled(&self.waker).replace(acceptor);
    }

    /// Waits until a queue has room again, unless `has_room` says that one has already.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        has_room: impl FnOnce() -> bool,
    ) -> Poll<()> {
        self.register(cx.waker());
        self.is_waiting_for_room.store(true, Relaxed);
        // Pairs with the fence in `wake_for_room`: this sees the room, or that sees the flag.
        fence(SeqCst);
        if !has_room() {
            return Poll::Pending;
        }
        self.is_waiting_for_room.store(false, Relaxed);
        Poll::Ready(())
    }

    /// Returns `true` if a loop has run out of descriptors since the last call.
    pub(crate) fn take_exhausted(&self) -> bool {
        self.is_exhausted.swap(false, AcqRel)
    }

    /// Returns the counter of connections that were accepted and closed at once.
    pub(crate) fn turned_away(&self) -> &Arc<std::sync::atomic::AtomicUsize> {
        &self.turned_away
    }
}

/// # Called by loops
impl AcceptorWaker {
    /// Wakes the acceptor, so that it looks at the loops.
    pub(crate) fn wake(&self) {
        let waker = lock_modelled(&self.waker).take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Wakes the acceptor if it waits for room. There is room now.
    pub(crate) fn wake_for_room(&self) {
        fence(SeqCst);
        if self.is_waiting_for_room.load(Relaxed) && self.is_waiting_for_room.swap(false, AcqRel) {
            self.wake();
        }
    }

    /// Reports that descriptors have run out.
    pub(crate) fn report_exhausted(&self) {
        self.is_exhausted.swap(true, AcqRel);
        self.wake();
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// Returns an acceptor's waker, what it wakes, and the number of those wakes.
    fn acceptor() -> (AcceptorWaker, Waker, impl Fn() -> usize) {
        let wakes = Arc::new(Wakes::default());
        (AcceptorWaker::default(), wakes.clone().into(), move || wakes.0.load(Relaxed))
    }

    #[test]
    fn the_acceptor_is_woken_once_for_each_time_it_registered() {
        let (acceptor, waker, wakes) = acceptor();
        acceptor.wake();
        acceptor.register(&waker);
        acceptor.wake();
        acceptor.wake();
        assert_eq!(wakes(), 1);
    }

    #[test]
    fn room_wakes_only_an_acceptor_that_waits_for_it() {
        let (acceptor, waker, wakes) = acceptor();
        let mut cx = Context::from_waker(&waker);
        assert!(acceptor.poll_room(&mut cx, || true).is_ready());
        acceptor.wake_for_room();
        assert_eq!(wakes(), 0);
        assert!(acceptor.poll_room(&mut cx, || false).is_pending());
        acceptor.wake_for_room();
        acceptor.register(&waker);
        acceptor.wake_for_room();
        assert_eq!(wakes(), 1);
    }

    #[test]
    fn a_lack_of_descriptors_wakes_the_acceptor_and_is_taken_once() {
        let (acceptor, waker, wakes) = acceptor();
        acceptor.register(&waker);
        assert!(!acceptor.take_exhausted());
        acceptor.report_exhausted();
        assert_eq!(wakes(), 1);
        assert!(acceptor.take_exhausted() && !acceptor.take_exhausted());
        acceptor.turned_away().fetch_add(2, Relaxed);
        assert_eq!(acceptor.turned_away().load(Relaxed), 2);
    }
}

#[cfg(all(test, brigade_loom))]
mod models {
    use std::future::poll_fn;

    use loom::future::block_on;
    use loom::thread;

    use super::*;

    // loom reports a lost wake-up as a deadlock.
    #[test]
    fn an_acceptor_that_waits_for_room_is_woken_by_a_loop_that_makes_some() {
        loom::model(|| {
            let waker = Arc::new(AcceptorWaker::default());
            // The order of this flag and the waker's is up to the fences alone.
            let has_room = Arc::new(AtomicBool::new(false));
            let loop_ = thread::spawn({
                let (waker, has_room) = (waker.clone(), has_room.clone());
                move || {
                    has_room.store(true, Relaxed);
                    waker.wake_for_room();
                }
            });
            block_on(poll_fn(|cx| waker.poll_room(cx, || has_room.load(Relaxed))));
            loop_.join().unwrap();
        });
    }

    #[test]
    fn an_acceptor_is_woken_by_each_of_two_loops_that_run_out_of_descriptors() {
        loom::model(|| {
            let waker = Arc::new(AcceptorWaker::default());
            let loops = [(); 2].map(|()| {
                let waker = waker.clone();
                thread::spawn(move || waker.report_exhausted())
            });
            block_on(poll_fn(|cx| {
                waker.register(cx.waker());
                if waker.take_exhausted() { Poll::Ready(()) } else { Poll::Pending }
            }));
            loops.into_iter().for_each(|loop_| loop_.join().unwrap());
        });
    }
}
