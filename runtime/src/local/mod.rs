//! Synchronisation between tasks of one loop. Nothing here is shared with another thread, so
//! nothing is locked: a cell and a queue each.
//!
//! All waiting is first come, first served, and cancellation safe: a wait that is dropped takes
//! its place out of the queue, and what it was given already goes to the next in line.
//!
//! Reading order: `permits` (what all waiting is made of), `semaphore`, `notify`, `channel`.

mod channel;
mod notify;
mod permits;
mod semaphore;

pub use channel::{Receiver, SendError, Sender, TryRecvError, TrySendError, channel, unbounded};
pub use notify::Notify;
pub use semaphore::{Permit, Semaphore};
