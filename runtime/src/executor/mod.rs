//! The event loop of one thread: the state of the loop, and the turn that drives it.

pub(crate) mod clock;
pub(crate) mod core;
pub(crate) mod coroutine;
pub mod event_loop;
pub(crate) mod handle;
pub(crate) mod inbox;
pub(crate) mod join_error;
pub(crate) mod selector;
pub(crate) mod slots;
pub(crate) mod table;
pub(crate) mod timers;
pub(crate) mod waker;
