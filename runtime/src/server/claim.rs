//! Something that was given to a loop and may be taken back until the loop claims it.
//!
//! The loop and the acceptor each keep a reference. The first to take the item owns it; the other
//! one finds nothing. Until it is taken, the item may be registered with two selectors: that of the
//! loop, and that of the acceptor. [`Claim::take`] returns where it is registered. loom checks this
//! (`models` at the end of this file).

use crate::executor::remote_registry::RemoteRegistry;
use crate::executor::slots::Key;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::{Mutex, lock_modelled};

/// An item that one of two threads takes.
#[derive(Debug)]
pub(crate) struct Claim<T, W = RemoteRegistry> {
    state: Mutex<State<T, W>>,
    /// The item was registered with the selector of the loop, so its task waits for bytes.
    is_registered: AtomicBool,
}

#[derive(Debug)]
struct State<T, W> {
    /// `None` once the item was taken.
    item: Option<T>,
    /// The item's key in the selector of the loop, once it is registered there.
    key: Option<Key>,
    /// The acceptor's selector, while the item is registered there.
    watched_by: Option<W>,
}

/// An item that was taken, and where it is registered.
#[derive(Debug)]
pub(crate) struct Taken<T, W = RemoteRegistry> {
    pub(crate) item: T,
    /// See the fields of the same names of [`State`].
    pub(crate) key: Option<Key>,
    pub(crate) watched_by: Option<W>,
}

impl<T, W> Claim<T, W> {
    pub(crate) fn new(item: T) -> Self {
        let state = Mutex::new(State { item: Some(item), key: None, watched_by: None });
        Self { state, is_registered: AtomicBool::new(false) }
    }

    /// Takes the item. Returns `None` if it was taken already.
    pub(crate) fn take(&self) -> Option<Taken<T, W>> {
        let mut state = lock_modelled(&self.state);
        let item = state.item.take()?;
        Some(Taken { item, key: state.key.take(), watched_by: state.watched_by.take() })
    }

    /// Calls `register`, which registers the item with the selector of the loop under `key`.
    /// Returns what that returns, or `None` if the item was taken.
    pub(crate) fn register<E>(
        &self,
        key: Key,
        register: impl FnOnce(&T) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let mut state = lock_modelled(&self.state);
        let registered = state.item.as_ref().map(register)?;
        if registered.is_ok() {
            state.key = Some(key);
            self.is_registered.store(true, Relaxed);
        }
        Some(registered)
    }

    /// Returns `true` if the item was registered with the selector of the loop.
    pub(crate) fn is_registered(&self) -> bool {
        self.is_registered.load(Relaxed)
    }

    /// Calls `register`, which registers the item with the selector of the acceptor. Returns what
    /// that returns, or `None` if the item was taken.
    pub(crate) fn watch<E>(
        &self,
        acceptor: W,
        register: impl FnOnce(&T) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let mut state = lock_modelled(&self.state);
        let registered = state.item.as_ref().map(register)?;
        state.watched_by = registered.is_ok().then_some(acceptor);
        Some(registered)
    }

    /// Calls `deregister` if the item is registered with the selector of the acceptor.
    pub(crate) fn unwatch(&self, deregister: impl FnOnce(&T)) {
        let mut state = lock_modelled(&self.state);
        if state.watched_by.take().is_some()
            && let Some(item) = &state.item
        {
            deregister(item);
        }
    }
}

#[cfg(all(test, brigade_loom))]
mod models {
    use std::sync::Arc;

    use loom::cell::Cell;
    use loom::thread;

    use super::*;

    /// Where the item is registered, as far as the system knows.
    #[derive(Default)]
    struct Registered {
        on_loop: Cell<bool>,
        by_acceptor: Cell<bool>,
    }

    type Model = Claim<Registered, ()>;

    fn key() -> Key {
        Key::from_u64(1)
    }

    /// Takes the item, and deregisters it where it is said to be registered. Returns `true` if
    /// there was an item.
    fn take(claim: &Model, is_loop: bool) -> bool {
        let Some(taken) = claim.take() else { return false };
        let Registered { on_loop, by_acceptor } = &taken.item;
        if taken.key.is_some() && !is_loop {
            on_loop.set(false);
        }
        if taken.watched_by.is_some() {
            by_acceptor.set(false);
        }
        assert!(!by_acceptor.get(), "only its loop waits for it");
        assert!(is_loop || !on_loop.get(), "the loop does not wait for it");
        true
    }

    fn register(claim: &Model) {
        claim.register(key(), |registered| {
            registered.on_loop.set(true);
            Ok::<_, ()>(())
        });
    }

    /// Returns an item, and a loop that registers it and tries to take it.
    fn on_a_loop() -> (Arc<Model>, thread::JoinHandle<bool>) {
        let claim = Arc::new(Model::new(Registered::default()));
        let of_loop = claim.clone();
        let loop_ = thread::spawn(move || {
            register(&of_loop);
            take(&of_loop, true)
        });
        (claim, loop_)
    }

    #[test]
    fn an_item_is_either_claimed_or_taken_back_and_registered_nowhere_else() {
        loom::model(|| {
            let (claim, loop_) = on_a_loop();
            let taken_back = take(&claim, false);
            assert!(loop_.join().unwrap() != taken_back);
        });
    }

    #[test]
    fn an_item_that_is_claimed_while_it_is_watched_is_watched_no_more() {
        loom::model(|| {
            let (claim, loop_) = on_a_loop();
            claim.watch((), |registered| {
                registered.by_acceptor.set(true);
                Ok::<_, ()>(())
            });
            claim.unwatch(|registered| {
                assert!(registered.by_acceptor.replace(false), "it is deregistered once");
            });
            let taken_back = take(&claim, false);
            assert!(loop_.join().unwrap() != taken_back);
        });
    }
}
