//! Channels, semaphores and notifications between tasks of one loop.
//!
//! | to | see |
//! | --- | --- |
//! | send values to one task | [`channel()`], [`unbounded_channel`] |
//! | send each value to several tasks | [`broadcast`] |
//! | let tasks see the newest value | [`watch`] |
//! | wake tasks without a value | [`Notify`] |
//! | limit how many tasks do something | [`Semaphore`] |
//!
//! None of these types is `Send`, so none of them needs a lock. For values from other threads see
//! [`oneshot::sync_channel`](crate::oneshot::sync_channel).
//!
//! Tasks are served in the order in which they began to wait. A wait that is dropped leaves the
//! queue, and what it was granted already goes to the next task in the queue.
//!
//! Reading order: `permits` (which the next three are built on), `semaphore`, `notify`, `channel`;
//! `waiters` (which the others are built on), `broadcast`, `watch`.

pub mod broadcast;
mod channel;
mod notify;
mod permits;
mod semaphore;
mod waiters;
pub mod watch;

pub use channel::{
    Receiver, SendError, Sender, TryRecvError, TrySendError, channel, unbounded_channel,
};
pub use notify::Notify;
pub use semaphore::{Semaphore, SemaphorePermit};
