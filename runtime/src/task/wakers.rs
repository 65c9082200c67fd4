//! The wakers of futures that wait for the same event.

use std::collections::BTreeMap;
use std::task::Waker;

/// The wakers of futures that wait for the same event. Each future has an entry of its own, and
/// removes it when it is dropped.
///
/// No method calls a waker's code, so the collection may be behind a lock: wakers come in as owned
/// values, and those that leave are returned, to be woken or dropped once the lock is released.
#[derive(Debug, Default)]
pub struct Wakers {
    entries: BTreeMap<u64, Waker>,
    last_key: u64,
}

impl Wakers {
    /// Stores `waker` in the entry with this key, which is set if it is not yet. Returns the waker
    /// that was there before.
    #[must_use]
    pub fn register(&mut self, key: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let key = *key.get_or_insert_with(|| {
            self.last_key += 1;
            self.last_key
        });
        self.entries.insert(key, waker)
    }

    /// Removes an entry. Does nothing if [`Wakers::take`] has removed it.
    #[must_use]
    pub fn remove(&mut self, key: u64) -> Option<Waker> {
        self.entries.remove(&key)
    }

    /// Removes and returns all wakers, those that have waited longest first.
    pub fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.entries).into_values()
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns `true` if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_until_they_are_removed_or_taken() {
        let mut wakers = Wakers::default();
        let mut keys = [None; 3];
        assert_eq!((wakers.is_empty(), wakers.len()), (true, 0));
        for key in &mut keys {
            assert!(wakers.register(key, Waker::noop().clone()).is_none());
        }
        assert!(wakers.register(&mut keys[0], Waker::noop().clone()).is_some());
        assert!(!wakers.is_empty() && wakers.len() == 3);
        assert!(wakers.remove(keys[1].unwrap()).is_some());
        assert_eq!((wakers.len(), wakers.take().count(), wakers.len()), (2, 2, 0));
    }
}
