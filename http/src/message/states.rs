//! The values that an application gives its handlers, by type.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::rc::Rc;

/// The values that an application gives its handlers, at most one of each type.
#[derive(Clone, Default)]
pub(crate) struct States {
    values: Vec<(TypeId, Rc<dyn Any>)>,
}

/// The states that the arguments of a handler need; see
/// [`FromRequestParts::requirements`](crate::FromRequestParts::requirements).
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// The types, with their names.
    states: Vec<(TypeId, &'static str)>,
}

impl States {
    /// Sets the value of its type.
    pub(crate) fn insert<T: 'static>(&mut self, value: T) {
        self.values.retain(|(known, _)| *known != TypeId::of::<T>());
        self.values.push((TypeId::of::<T>(), Rc::new(value)));
    }

    /// Returns the value of this type.
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        let (_, value) = self.values.iter().find(|(known, _)| *known == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns these values, and those of `outer` whose types these lack.
    pub(crate) fn or(&self, outer: &Self) -> Self {
        let mut all = self.clone();
        let is_missing = |id: &TypeId| self.values.iter().all(|(known, _)| known != id);
        let missing = outer.values.iter().filter(|(id, _)| is_missing(id));
        all.values.extend(missing.cloned());
        all
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "States({})", self.values.len())
    }
}

impl Requirements {
    /// Adds the state `T`: a router without it refuses the handler.
    pub fn state<T: 'static>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
    }

    /// Returns the name of the first required type that `states` lacks.
    pub(crate) fn missing(&self, states: &States) -> Option<&'static str> {
        let has = |id: &TypeId| states.values.iter().any(|(known, _)| known == id);
        self.states.iter().find(|(id, _)| !has(id)).map(|(_, name)| *name)
    }
}
