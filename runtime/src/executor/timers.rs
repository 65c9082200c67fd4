//! Timers: set, cancel, find the next deadline, expire.
//!
//! A four-way heap of small entries over a slab of wakers. Each waker has the position of its
//! entry in the heap, so a cancelled timer is removed at once. The four children of an entry share
//! a cache line. Setting a timer later than all others, as a server with one timeout does, touches
//! one entry. Expiring one touches log4(n) cache lines.

use std::task::Waker;

use crate::executor::clock::Tick;
use crate::executor::slots::{Key, Slots};

pub(crate) struct Timers {
    heap: Vec<Entry>,
    timers: Slots<Timer>,
    /// The number of the next timer. Timers with the same deadline expire in the order in which
    /// they were set.
    next_order: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    deadline: Tick,
    order: u32,
    /// The timer's slot.
    index: u32,
}

struct Timer {
    /// The position of its entry in the heap.
    position: u32,
    waker: Waker,
}

const ARITY: usize = 4;

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heap: Vec::new(), timers: Slots::new(), next_order: 0 }
    }

    /// Returns the number of timers that are set.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Returns the earliest deadline, if a timer is set.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Sets a timer. [`Timers::expire`] returns `waker` once `deadline` is reached.
    pub(crate) fn set(&mut self, deadline: Tick, waker: Waker) -> Key {
        let position = self.heap.len();
        let key = self.timers.insert(Timer { position: position as u32, waker });
        let entry = Entry { deadline, order: self.next_order, index: key.index() };
        self.next_order = self.next_order.wrapping_add(1);
        self.heap.push(entry);
        self.sift_up(position);
        key
    }

    /// Replaces the waker of a timer. Returns the one that is not needed: the previous one, or
    /// `waker` as an error if the timer is no longer set.
    pub(crate) fn replace_waker(&mut self, key: Key, waker: Waker) -> Result<Waker, Waker> {
        match self.timers.get_mut(key) {
            Some(timer) => Ok(std::mem::replace(&mut timer.waker, waker)),
            None => Err(waker),
        }
    }

    /// Returns `true` if the timer is set and wakes the same task as `waker`.
    pub(crate) fn will_wake(&self, key: Key, waker: &Waker) -> bool {
        self.timers.get(key).is_some_and(|timer| timer.waker.will_wake(waker))
    }

    /// Removes the timer. Returns its waker, unless it has expired or was cancelled before.
    pub(crate) fn cancel(&mut self, key: Key) -> Option<Waker> {
        let timer = self.timers.remove(key)?;
        self.remove_entry(timer.position as usize);
        Some(timer.waker)
    }

    /// Removes the first timer whose deadline is `now` or earlier, and returns its waker.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<Waker> {
        let first = *self.heap.first().filter(|entry| entry.deadline <= now)?;
        let key = self.timers.key_at(first.index)?;
        self.remove_entry(0);
        self.timers.remove(key).map(|timer| timer.waker)
    }

    fn remove_entry(&mut self, position: usize) {
        let last = self.heap.pop().expect("a timer has an entry");
        if position < self.heap.len() {
            self.place(position, last);
            self.sift_down(position);
            self.sift_up(position);
        }
    }

    fn sift_up(&mut self, mut position: usize) {
        let entry = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / ARITY;
            if !entry.is_before(&self.heap[parent]) {
                break;
            }
            self.place(position, self.heap[parent]);
            position = parent;
        }
        self.place(position, entry);
    }

    fn sift_down(&mut self, mut position: usize) {
        let entry = self.heap[position];
        loop {
            let first_child = position * ARITY + 1;
            let children = first_child..(first_child + ARITY).min(self.heap.len());
            let Some(least) = children.reduce(|least, child| {
                if self.heap[child].is_before(&self.heap[least]) { child } else { least }
            }) else {
                break;
            };
            if !self.heap[least].is_before(&entry) {
                break;
            }
            self.place(position, self.heap[least]);
            position = least;
        }
        self.place(position, entry);
    }

    fn place(&mut self, position: usize, entry: Entry) {
        self.heap[position] = entry;
        if let Some(timer) = self.timers.at_mut(entry.index) {
            timer.position = position as u32;
        }
    }
}

impl Entry {
    /// Returns `true` if this entry expires before `other`. `order` may wrap: timers with the same
    /// deadline are not set 2^31 timers apart in practice, and if they were, only their order
    /// would be wrong.
    fn is_before(&self, other: &Self) -> bool {
        match self.deadline.cmp(&other.deadline) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => (self.order.wrapping_sub(other.order) as i32) < 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn expire_all(timers: &mut Timers, now: Tick) -> usize {
        std::iter::from_fn(|| timers.expire(now)).count()
    }

    #[test]
    fn no_timer_expires_before_its_deadline() {
        let mut timers = Timers::new();
        timers.set(10, Waker::noop().clone());
        timers.set(20, Waker::noop().clone());
        assert_eq!(timers.next_deadline(), Some(10));
        assert_eq!(expire_all(&mut timers, 9), 0);
        assert_eq!(expire_all(&mut timers, 10), 1);
        assert_eq!(timers.next_deadline(), Some(20));
    }

    #[test]
    fn a_cancelled_timer_is_removed_at_once_and_its_key_is_stale() {
        let mut timers = Timers::new();
        let first = timers.set(10, Waker::noop().clone());
        timers.set(20, Waker::noop().clone());
        assert!(timers.cancel(first).is_some());
        assert!(timers.cancel(first).is_none());
        assert!(timers.replace_waker(first, Waker::noop().clone()).is_err());
        assert_eq!((timers.len(), timers.next_deadline()), (1, Some(20)));
    }

    proptest! {
        /// Compares with a sorted map.
        #[test]
        fn timers_expire_in_the_order_of_their_deadlines(
            steps in prop::collection::vec(
                (0_u8..4, 0_u64..50, any::<prop::sample::Index>()), 1..300
            )
        ) {
            let mut timers = Timers::new();
            let mut model = BTreeMap::new();
            let mut keys = Vec::new();
            for (order, (action, tick, pick)) in steps.into_iter().enumerate() {
                match action {
                    0 | 1 => {
                        let key = timers.set(tick, Waker::noop().clone());
                        model.insert((tick, order), key);
                        keys.push((key, (tick, order)));
                    }
                    2 if !keys.is_empty() => {
                        let (key, at) = keys[pick.index(keys.len())];
                        prop_assert_eq!(timers.cancel(key).is_some(), model.remove(&at).is_some());
                    }
                    _ => {
                        let due = model.iter().next().filter(|((at, _), _)| *at <= tick);
                        let due = due.map(|(at, _)| *at);
                        prop_assert_eq!(timers.expire(tick).is_some(), due.is_some());
                        if let Some(key) = due.and_then(|at| model.remove(&at)) {
                            let is_gone = timers.cancel(key).is_none();
                            prop_assert!(is_gone, "another timer than the first one expired");
                        }
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.next_deadline(), model.keys().next().map(|(at, _)| *at));
            }
        }
    }
}
