//! The event loop of one thread: the state of the loop, and the turn that drives it.
//!
//! In reading order, each file importing only from those before it:
//!
//! | file | what it holds |
//! | --- | --- |
//! | `slots` | a generational slab: values with keys that go stale |
//! | `clock`, `timers` | the loop's time; timers that are set, cancelled and expired |
//! | `inbox` | the lock-free queue through which other threads reach the loop |
//! | `remote_registry`, `selector` | registrations, for other threads; readiness of sockets |
//! | `selector_times` | when the selector was polled |
//! | `join_error`, `coroutine` | why a task has no output; a future without its type |
//! | `waker`, `table` | the ready queue and its wakers; the tasks and their states |
//! | `blocking_pool` | a pool of threads for jobs that block |
//! | `settings`, `core` | options; the loop's state, its tasks and the steps of its turn |
//! | `handle` | the loop as other threads see it |
//! | `event_loop`, `builder` | the loop as its thread sees it; how one is made |

pub(crate) mod blocking_pool;
pub(crate) mod builder;
pub(crate) mod clock;
pub(crate) mod core;
pub(crate) mod coroutine;
pub(crate) mod event_loop;
pub(crate) mod handle;
pub(crate) mod inbox;
pub(crate) mod join_error;
pub(crate) mod remote_registry;
pub(crate) mod selector;
pub(crate) mod selector_times;
pub(crate) mod settings;
pub(crate) mod slots;
pub(crate) mod table;
pub(crate) mod timers;
pub(crate) mod waker;
