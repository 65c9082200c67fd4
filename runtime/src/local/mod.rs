//! Channels, semaphores and notifications between tasks of one loop.
//!
//! None of these types is `Send`, so none of them needs a lock. For values from other threads see
//! [`oneshot::sync_channel`](crate::oneshot::sync_channel).
//!
//! Tasks are served in the order in which they began to wait. A wait that is dropped leaves the
//! queue, and what it was granted already goes to the next task in the queue.
//!
//! Reading order: `permits` (which the others are built on), `semaphore`, `notify`, `channel`.

mod channel;
mod notify;
mod permits;
mod semaphore;

pub use channel::{
    Receiver, SendError, Sender, TryRecvError, TrySendError, channel, unbounded_channel,
};
pub use notify::Notify;
pub use semaphore::{Semaphore, SemaphorePermit};
