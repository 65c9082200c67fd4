//! Destructors that run within each other, to any depth.
//!
//! A task that is cancelled drops its future. That may own a task group, whose children are
//! cancelled in turn, and so on. Each level takes a part of the stack, so after some levels the
//! rest waits in a queue of the thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::observe::panic::log_panic;

/// Calls of [`nested`] that run within each other. More are queued.
pub(crate) const DEPTH_MAX: u32 = 32;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static QUEUE: RefCell<VecDeque<Box<dyn FnOnce()>>> = const { RefCell::new(VecDeque::new()) };
}

/// Calls `f`, which runs destructors that may call this again: at once, or, if [`DEPTH_MAX`] calls
/// are nested already, before the outermost of them returns. A panic in `f` is logged.
pub(crate) fn nested(f: impl FnOnce() + 'static) {
    if DEPTH.get() < DEPTH_MAX {
        return run(f);
    }
    let mut queued: Option<Box<dyn FnOnce()>> = Some(Box::new(f));
    let _ = QUEUE.try_with(|queue| queue.borrow_mut().extend(queued.take()));
    if let Some(f) = queued {
        // The thread ends and has no queue any more.
        log_panic(f);
    }
}

fn run(f: impl FnOnce()) {
    let depth = DEPTH.get();
    DEPTH.set(depth + 1);
    log_panic(f);
    if depth == 0 {
        // Still at depth one, so that what these call is nested within them.
        while let Some(f) = next() {
            log_panic(f);
        }
    }
    DEPTH.set(depth);
}

fn next() -> Option<Box<dyn FnOnce()>> {
    QUEUE.try_with(|queue| queue.borrow_mut().pop_front()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// A list whose destructor drops one node within the other.
    struct Node(Option<Box<Node>>, Rc<Cell<u32>>);

    impl Drop for Node {
        fn drop(&mut self) {
            self.1.update(|dropped| dropped + 1);
            let next = self.0.take();
            nested(move || drop(next));
        }
    }

    #[test]
    fn destructors_nested_100_000_levels_deep_do_not_overflow_the_stack() {
        let dropped = Rc::new(Cell::new(0));
        let list = (0..100_000).fold(None, |list, _| Some(Box::new(Node(list, dropped.clone()))));
        drop(list);
        assert_eq!(dropped.get(), 100_000);
    }
}
