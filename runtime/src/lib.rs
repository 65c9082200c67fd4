//! One event loop per thread: tasks, timers, sockets and threads, in asyncio's model.
//!
//! ```
//! use std::time::Duration;
//! use brigade_runtime::{gather, run, time::sleep};
//!
//! async fn cook(dish: &str) -> String {
//!     sleep(Duration::from_millis(1)).await;
//!     format!("{dish} is ready")
//! }
//!
//! let dishes = run(async { gather([cook("rice"), cook("soup")]).await });
//! assert_eq!(dishes, ["rice is ready", "soup is ready"]);
//! ```
//!
//! # Four rules
//!
//! 1. **One loop per thread, nothing shared.** Tasks and sockets are not `Send`, and stay on the
//!    loop that made them. What crosses threads crosses through a queue: a [`LoopHandle`], a
//!    [`oneshot::sync_channel`], an intake of connections. A second loop on a thread is an error.
//! 2. **No `unsafe`.**
//! 3. **Nothing is kept that is not being used.** A task that waits is its future and a slot; a
//!    cancelled timer leaves at once.
//! 4. **Nothing fails in silence.** A panic that nobody awaited, a poll that took too long, a task
//!    dropped while pending: each is reported with the task and where it was spawned
//!    ([`Unhandled`]).
//!
//! # The turn
//!
//! A loop turns in six steps, in [`EventLoop::turn`] and in the events of the target
//! `brigade::turn`, which `tracing` shows at TRACE:
//!
//! 1. take what other threads sent;
//! 2. run the tasks that were ready when the turn began, each to its next await: what becomes
//!    ready meanwhile runs in the next turn, so no task keeps the others from I/O;
//! 3. move timers that are due to the ready queue;
//! 4. wait for I/O until the next deadline, not at all if a task is ready;
//! 5. move the tasks whose I/O is ready to the ready queue;
//! 6. report what went wrong.
//!
//! # Reading order
//!
//! Each file imports only from those before it, but for `current`, which the parts of a loop ask
//! for the loop they are on.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `slots` | values at stable places, with keys that go stale |
//! | `clock`, `timers` | the loop's now; set, cancel, expire |
//! | `sync`, `inbox` | what crosses threads: the lock-free queue into a loop |
//! | `selector` | who waits for which socket |
//! | `task/` | a future as a task: its waker, its states, its handle |
//! | `debug` | what went wrong, in words |
//! | `current` | the state of one loop, and how code on its thread finds it |
//! | `event_loop` | the loop and its turn |
//! | `oneshot`, `handle`, `thread`, `blocking` | other threads: values, calls, loops, work |
//! | `time/`, `callback` | sleeps, timeouts, intervals; functions to be called |
//! | `gather`, `task/group`, `task/shield` | several at once |
//! | `local/` | channels, notifications and semaphores within a loop |
//! | `net/`, `signal` | sockets and signals |
//! | `intake`, `placement`, `group` | connections, spread over a group of loops |
//! | `reserve`, `exhaustion`, `acceptor`, `loop_acceptor` | who accepts them |
#![forbid(unsafe_code)]

mod callback;
mod executor;
pub mod local;
pub mod net;
mod observe;
pub mod oneshot;
pub mod server;
pub mod signal;
mod sync;
pub mod task;
mod threads;
pub mod time;

pub use callback::{CallbackHandle, call_at, call_later, call_soon};
pub use executor::event_loop::{self, EventLoop, run};
pub use executor::handle::{LoopEnded, LoopHandle, RemoteJoinHandle};
pub use observe::panic::panic_message;
pub use observe::poll_times::PollTimes;
pub use observe::snapshot::Snapshot;
pub use observe::unhandled::{Stall, Unhandled};
pub use server::TcpServer;
#[doc(hidden)]
pub use sync::lock;
pub use task::{
    Gather, JoinError, JoinHandle, TaskGroup, TryGather, gather, gather_all, spawn, try_gather,
    try_gather_all,
};
pub use threads::blocking::{BlockingHandle, spawn_blocking};
pub use threads::group::{self, EventLoopGroup};
pub use threads::thread::{self, ThreadHandle, run_in_thread};
