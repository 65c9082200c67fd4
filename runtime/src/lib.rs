//! One event loop per thread: tasks, timers, sockets and threads, with asyncio's programming model.
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
//! 1. **One loop per thread, nothing shared.** Tasks and sockets are not `Send` and stay on the
//!    loop that made them. Everything that crosses threads goes through a queue: a
//!    [`LoopHandle`], a [`oneshot::sync_channel`], a queue of accepted connections. A thread has at
//!    most one loop; a second one is an error.
//! 2. **No `unsafe`.**
//! 3. **Memory is used only while it is needed.** A waiting task takes its future and a slot. A
//!    cancelled timer is removed at once.
//! 4. **No silent failure.** A panic that no code awaits, a poll that takes too long, a task that
//!    is dropped while pending: each is reported with the task and where it was spawned (see
//!    [`Unhandled`]).
//!
//! # The turn
//!
//! A loop runs in turns of six steps. They are in [`EventLoop::turn`], and each is an event of the
//! `tracing` target `brigade::turn` at level TRACE:
//!
//! 1. Handle what other threads sent: wakes and calls.
//! 2. Run the tasks that are ready, each until it has to wait. Tasks that become ready meanwhile
//!    form the next batch. It runs in the same turn if fewer than 64 polls have been made in it so
//!    far, and in the next turn otherwise, so tasks that wake each other do not keep the loop from
//!    I/O. No further batch is started if the clock is manual, the loop was stopped, a task has
//!    spent its budget (see [`task`]), or there is something to report in step 6.
//! 3. Wake the tasks whose timers are due.
//! 4. Wait for I/O until the next deadline. If a task is ready, poll without waiting.
//! 5. Wake the tasks whose I/O is ready.
//! 6. Report what went wrong.
//!
//! # Reading order
//!
//! Each folder imports only from those above it in this table. The `mod.rs` of a folder lists its
//! files.
//!
//! | file or folder | what it holds |
//! | --- | --- |
//! | `sync` | what loom replaces: atomics, mutexes, the lock-free queue |
//! | `observe/` | what any thread can read about a loop: tasks, load, stalls, reports |
//! | `budget` | how much a task may do in one poll |
//! | [`oneshot`] | a value that one task or thread sends to a task |
//! | `executor/` | the loop: its state, its turn, its handle for other threads |
//! | [`task`] | spawning, awaiting, grouping and shielding tasks |
//! | [`time`] | sleeps, timeouts and intervals |
//! | `callback` | functions that the loop calls soon, later or at an instant |
//! | [`local`] | channels, notifications and semaphores within a loop |
//! | `threads/` | threads with a loop, groups of loops, the pool for blocking work |
//! | [`io`] | copying from readers to writers |
//! | [`net`] | TCP, UDP and Unix sockets |
//! | [`signal`] | signals of the operating system |
//! | `tls/` | TLS over these sockets, with the feature of that name |
//! | [`server`] | accepting connections and spreading them over loops |
#![forbid(unsafe_code)]

mod budget;
mod callback;
mod executor;
pub mod io;
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
#[cfg(feature = "tls")]
pub mod tls;

/// The event loop of a thread, and its options.
pub mod event_loop {
    pub use crate::executor::builder::{BuildError, Builder};
    pub use crate::executor::event_loop::{EventLoop, run};
    pub use crate::executor::settings::SLOW_POLL_THRESHOLD;
}

pub use callback::{CallbackHandle, call_at, call_later, call_soon};
pub use executor::event_loop::{EventLoop, run};
pub use executor::handle::{LoopEnded, LoopHandle, RemoteJoinHandle};
#[doc(hidden)]
pub use observe::panic::{catch_panic, discard_payload, panic_message};
pub use observe::poll_times::PollTimes;
pub use observe::snapshot::Snapshot;
pub use observe::unhandled::{Stall, Unhandled};
pub use server::TcpServer;
#[doc(hidden)]
pub use sync::lock;
#[doc(hidden)]
pub use task::wakers::Wakers;
pub use task::{
    Gather, JoinError, JoinHandle, TaskGroup, TryGather, gather, gather_all, spawn, try_gather,
    try_gather_all,
};
#[doc(hidden)]
pub use threads::blocking::spawn_file_read;
pub use threads::blocking::{BlockingHandle, spawn_blocking};
pub use threads::group::{self, EventLoopGroup};
pub use threads::loops::Loops;
pub use threads::thread::{self, ThreadHandle, run_in_thread};
