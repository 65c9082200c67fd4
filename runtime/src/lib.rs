//! One event loop per thread.
#![forbid(unsafe_code)]

mod blocking;
mod clock;
mod current;
mod debug;
pub mod event_loop;
mod handle;
mod inbox;
pub mod net;
pub mod oneshot;
mod selector;
pub mod signal;
mod slots;
mod sync;
pub mod task;
pub mod thread;
pub mod time;
mod timers;

pub use blocking::{BlockingHandle, spawn_blocking};
pub use debug::Unhandled;
pub use event_loop::{EventLoop, run};
pub use handle::{LoopEnded, LoopHandle, RemoteJoinHandle};
pub use task::{JoinError, JoinHandle, spawn};
pub use thread::{ThreadHandle, run_in_thread};
