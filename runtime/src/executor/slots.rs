//! A generational slab: values at stable indices, with keys that go stale.
//!
//! A [`Key`] refers to one value for its whole life. Once the value is removed the key finds
//! nothing, even if the slot holds another value. Tasks, timers and sources of the selector have
//! such keys, because each can be referred to after it is gone.

use std::fmt;

/// Refers to one value of a [`Slots`], and never to another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn index(self) -> u32 {
        self.index
    }

    /// Packs the key into one number.
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Returns the key that [`Key::to_u64`] packed.
    pub(crate) fn from_u64(number: u64) -> Self {
        Self { index: number as u32, generation: (number >> 32) as u32 }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Values in slots. Slots are used again, keys are not.
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// The first slot of the free list, or `NONE`.
    free: u32,
}

struct Slot<T> {
    /// Incremented when the slot is vacated. A slot whose generations are used up is retired.
    generation: u32,
    state: State<T>,
}

enum State<T> {
    Vacant { next_free: u32 },
    Occupied(T),
}

const NONE: u32 = u32::MAX;

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: NONE }
    }

    /// Stores the value that `make` returns for the key it will have.
    ///
    /// # Panics
    /// If 2^32 - 1 values are stored already.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        if self.free == NONE {
            let index = u32::try_from(self.slots.len()).ok().filter(|index| *index != NONE);
            self.free = index.expect("fewer than 2^32 - 1 values in a slab");
            self.slots.push(Slot { generation: 0, state: State::Vacant { next_free: NONE } });
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        let key = Key { index, generation: slot.generation };
        if let State::Vacant { next_free } = slot.state {
            self.free = next_free;
        }
        slot.state = State::Occupied(make(key));
        key
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.insert_with(|_| value)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize)? {
            Slot { generation, state: State::Occupied(value) } if *generation == key.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize)? {
            Slot { generation, state: State::Occupied(value) } if *generation == key.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    /// Returns the value in slot `index`, whatever its generation.
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match &mut self.slots.get_mut(index as usize)?.state {
            State::Occupied(value) => Some(value),
            State::Vacant { .. } => None,
        }
    }

    /// Returns the key of the value in slot `index`.
    pub(crate) fn key_at(&self, index: u32) -> Option<Key> {
        match self.slots.get(index as usize)? {
            Slot { generation, state: State::Occupied(_) } => {
                Some(Key { index, generation: *generation })
            }
            _ => None,
        }
    }

    /// Removes the value. From then on `key` finds nothing.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let slot = &mut self.slots[key.index as usize];
        let retired = slot.generation == u32::MAX;
        slot.generation = slot.generation.wrapping_add(u32::from(!retired));
        let next_free = if retired { NONE } else { self.free };
        let State::Occupied(value) =
            std::mem::replace(&mut slot.state, State::Vacant { next_free })
        else {
            unreachable!("`get` found it");
        };
        if !retired {
            self.free = key.index;
        }
        Some(value)
    }

    /// Removes all values.
    pub(crate) fn remove_all(&mut self) -> Vec<T> {
        let keys: Vec<_> = self.iter().map(|(key, _)| key).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Returns the values with their keys, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.state {
            State::Occupied(value) => {
                Some((Key { index: index as u32, generation: slot.generation }, value))
            }
            State::Vacant { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing_even_when_its_slot_is_used_again() {
        let mut slots = Slots::new();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second");
        assert_eq!(first.index, second.index);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut slots = Slots::new();
        let key = slots.insert(1);
        slots.slots[0].generation = u32::MAX;
        let last = Key { generation: u32::MAX, ..key };
        assert_eq!(slots.remove(last), Some(1));
        assert_ne!(slots.insert(2).index, key.index);
        assert_eq!(slots.get(last), None);
        assert_eq!(slots.iter().count(), 1);
    }

    #[test]
    fn a_key_can_be_packed_into_a_number_and_back() {
        let key = Key { index: 7, generation: 3_000_000_000 };
        assert_eq!(Key::from_u64(key.to_u64()), key);
        assert_eq!(key.to_string(), "7.3000000000");
    }

    #[test]
    fn iteration_skips_vacant_slots() {
        let mut slots = Slots::new();
        let keys: Vec<_> = (0..4).map(|n| slots.insert(n)).collect();
        slots.remove(keys[1]);
        assert_eq!(slots.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [0, 2, 3]);
    }
}
