//! Tasks: futures that run on an event loop independently of the code that spawned them.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `join` | the handle of a task, which is awaited for its outcome |
//! | `spawn` | spawning tasks, with and without a name |
//! | `current` | the current task and all tasks; waking, aborting and yielding |
//! | `notebook` | what a task works on, for reports of stalls |
//! | `gather` | several futures at once, within one task |
//! | `group` | tasks that end together |
//! | `select` | the first of several futures: the macro [`select!`](crate::select) |
//! | `send` | futures that are `Send` and stay on their thread |
//! | `shield` | a future that runs on if its awaiter is cancelled |
//! | `wakers` | the wakers of futures that wait for the same event |
//!
//! # Cooperation
//!
//! A task runs until it awaits something that is not ready, so a task whose operations are always
//! ready would hold its loop. Therefore each poll of a task has a budget of 64 units: every
//! operation of a channel, a semaphore or a join handle that completes without waiting takes one of
//! them, and every operation of a socket takes four. When they are spent, the next operation
//! returns `Pending`, and completes in the task's next poll, after other tasks, timers and I/O had
//! their turn. Functions named `try_…` neither wait nor count.
//!
//! [`consume_budget`], [`has_budget_remaining`] and [`poll_proceed`] are for loops and futures that
//! never wait for any of these operations.

pub(crate) mod current;
mod gather;
mod group;
mod join;
pub(crate) mod notebook;
#[doc(hidden)]
pub mod select;
#[cfg(feature = "send")]
mod send;
mod shield;
pub(crate) mod spawn;
pub(crate) mod wakers;

pub use crate::budget::{consume_budget, has_budget_remaining, poll_proceed};
pub use crate::executor::join_error::JoinError;
pub use crate::observe::info::{TaskId, TaskInfo, TaskLabel, TaskState};
pub use crate::observe::labels::Note;
pub use current::{abort, all, current, wake, yield_now};
pub use gather::{Gather, TryGather, gather, gather_all, try_gather, try_gather_all};
pub use group::{Child, Failure, GroupError, TaskGroup};
pub use join::JoinHandle;
#[doc(hidden)]
pub use notebook::Notebook;
#[cfg(feature = "send")]
pub use send::{SendFuture, send};
pub use shield::{Shield, shield};
pub use spawn::{Builder, spawn};
