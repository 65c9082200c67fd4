//! One event loop per thread.
#![forbid(unsafe_code)]

mod acceptor;
mod blocking;
mod callback;
mod clock;
mod current;
mod debug;
pub mod event_loop;
mod gather;
pub mod group;
mod handle;
mod inbox;
mod intake;
pub mod local;
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
pub use callback::{CallbackHandle, call_at, call_later, call_soon};
pub use debug::Unhandled;
pub use event_loop::{EventLoop, run};
pub use gather::{Gather, TryGather, gather, gather_all, try_gather, try_gather_all};
pub use group::EventLoopGroup;
pub use handle::{LoopEnded, LoopHandle, RemoteJoinHandle};
pub use intake::{Arrival, Arrivals, Place};
pub use task::{JoinError, JoinHandle, TaskGroup, spawn};
pub use thread::{ThreadHandle, run_in_thread};
