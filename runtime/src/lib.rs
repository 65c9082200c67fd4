//! One event loop per thread.
#![forbid(unsafe_code)]

mod acceptor;
mod blocking;
mod clock;
mod current;
mod debug;
pub mod event_loop;
pub mod group;
mod handle;
mod inbox;
mod intake;
pub mod net;
pub mod oneshot;
mod placement;
mod selector;
pub mod signal;
mod slots;
mod sync;
pub mod task;
pub mod thread;
pub mod time;
mod timers;

pub use acceptor::Acceptor;
pub use blocking::{BlockingHandle, spawn_blocking};
pub use debug::Unhandled;
pub use event_loop::{EventLoop, run};
pub use group::EventLoopGroup;
pub use handle::{LoopEnded, LoopHandle, RemoteJoinHandle};
pub use intake::{Arrival, Arrivals, Place};
pub use task::{JoinError, JoinHandle, spawn};
pub use thread::{ThreadHandle, run_in_thread};
