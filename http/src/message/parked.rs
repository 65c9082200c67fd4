//! Values that stay on their thread, and tickets for them that may go to any thread.
//!
//! An error has to be `Send`, so that it can be returned from one thread to another. A request
//! belongs to its loop, so it is not. The error of a request that was not sent therefore holds a
//! ticket, and the request waits in a list of its thread. Nothing of this is used unless a request
//! fails.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

thread_local! {
    static PARKED: RefCell<Parked> = RefCell::default();
}

/// The values of one thread.
#[derive(Default)]
struct Parked {
    values: HashMap<u64, Box<dyn Any>>,
    /// The key of the next value.
    next: u64,
    /// The keys of values whose tickets were dropped on other threads. The tickets share it, so a
    /// ticket of another thread is recognized by it.
    dropped: Arc<Mutex<Vec<u64>>>,
}

/// Entitles to take a value, on the thread of the value. Dropping it there drops the value. If it
/// is dropped on another thread, the value is dropped when the next one is parked on its thread,
/// or when that thread ends.
pub(crate) struct Ticket {
    key: u64,
    dropped: Arc<Mutex<Vec<u64>>>,
}

impl Ticket {
    /// Parks `value` on this thread.
    pub(crate) fn park(value: impl Any) -> Self {
        let value: Box<dyn Any> = Box::new(value);
        let (ticket, _orphans) = PARKED.with_borrow_mut(|parked| {
            let orphans = parked.take_orphans();
            let ticket = Self { key: parked.next, dropped: parked.dropped.clone() };
            parked.next += 1;
            parked.values.insert(ticket.key, value);
            // Returned, so that they are dropped after the borrow has ended.
            (ticket, orphans)
        });
        ticket
    }

    /// Returns the value; `None` on any other thread than its own.
    pub(crate) fn take<T: Any>(self) -> Option<T> {
        let value = self.remove()?;
        value.downcast().ok().map(|value| *value)
    }

    /// Removes the value if this is its thread, and the thread is not ending.
    fn remove(&self) -> Option<Box<dyn Any>> {
        let remove = |parked: &RefCell<Parked>| {
            let mut parked = parked.borrow_mut();
            let is_home = Arc::ptr_eq(&parked.dropped, &self.dropped);
            is_home.then(|| parked.values.remove(&self.key)).flatten()
        };
        PARKED.try_with(remove).ok().flatten()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.remove().is_none() {
            // Taken already, or on another thread.
            self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(self.key);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Parked {
    /// Returns the values whose tickets were dropped on other threads.
    fn take_orphans(&mut self) -> Vec<Box<dyn Any>> {
        let keys =
            std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner));
        keys.into_iter().filter_map(|key| self.values.remove(&key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::thread;

    #[test]
    fn a_value_is_taken_on_its_own_thread_only() {
        let value = Rc::new(7);
        let (one, other) = (Ticket::park(value.clone()), Ticket::park(value.clone()));
        assert_eq!(one.take::<Rc<i32>>().as_deref(), Some(&7));
        assert!(thread::spawn(|| other.take::<Rc<i32>>().is_none()).join().unwrap());
    }

    #[test]
    fn a_value_is_dropped_with_its_ticket() {
        let value = Rc::new(());
        drop(Ticket::park(value.clone()));
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn a_value_whose_ticket_is_dropped_elsewhere_goes_when_the_next_one_comes() {
        let value = Rc::new(());
        let ticket = Ticket::park(value.clone());
        thread::spawn(|| drop(ticket)).join().unwrap();
        assert_eq!(Rc::strong_count(&value), 2);
        let next = Ticket::park(());
        assert_eq!(Rc::strong_count(&value), 1);
        drop(next);
    }

    #[test]
    fn a_ticket_may_outlive_the_thread_of_its_value() {
        let ticket = thread::spawn(|| Ticket::park(Rc::new(()))).join().unwrap();
        assert!(ticket.take::<Rc<()>>().is_none());
    }
}
