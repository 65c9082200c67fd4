//! A thread-per-core framework for network services: asyncio's model, in Rust.
//!
//! Each thread owns one event loop with its own selector, ready queue, timers and tasks. Tasks
//! never move between loops, so what they share needs neither `Send` nor a lock. An acceptor
//! hands connections to the loops, and a strict HTTP/1.1 layer answers them.
//!
//! # Where things are
//!
//! | to | see |
//! | --- | --- |
//! | run a coroutine to its end, as `asyncio.run` does | [`run`], [`EventLoop`] |
//! | start tasks, name them, list them, end them | [`spawn`], [`task`], [`TaskGroup`] |
//! | wait for several things | [`gather`], [`try_gather`], [`task::shield`] |
//! | sleep, limit a wait, repeat | [`time`] |
//! | talk over TCP, UDP and Unix sockets | [`net`] |
//! | complete a future by hand | [`oneshot`] |
//! | pass values between tasks of one loop | [`local`] |
//! | call a function soon, later, at an instant | [`call_soon`], [`call_later`], [`call_at`] |
//! | start a thread with a loop, or one per core | [`run_in_thread`], [`EventLoopGroup`] |
//! | reach a loop from other threads | [`LoopHandle`] |
//! | compute for long, or call what blocks | [`spawn_blocking`] |
//! | spread connections over loops | [`Acceptor`], [`LoopAcceptor`] |
//! | hear of signals | [`signal`] |
#![cfg_attr(feature = "http", doc = "| serve HTTP, or ask for it | [`http`] |")]
//!
//! # A server
//!
#![cfg_attr(feature = "http", doc = "```no_run")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use brigade::http::{Request, Router, Server, get};
//! use brigade::time::sleep;
//!
//! async fn delay(request: Request) -> String {
//!     let seconds = request.param("seconds").and_then(|text| text.parse().ok()).unwrap_or(1);
//!     sleep(Duration::from_secs(seconds)).await;
//!     format!("waited {seconds} s\n")
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     Server::bind("127.0.0.1:8080")?
//!         .run(|| Router::new().route("/delay/{seconds}", get(delay)))?;
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! | feature | |
//! | --- | --- |
//! | `http`, on by default | the HTTP/1.1 layer; without it only the runtime is built |
//! | `query` | query strings and forms as types of the caller's, by serde |
//! | `json` | bodies in JSON, by serde |
//! | `files` | answers from files: conditional, by range, with their media type |
//! | `metrics` | the server's numbers for Prometheus, as a handler |
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
pub use brigade_http as http;
#[doc(no_inline)]
pub use brigade_runtime::*;

/// The examples of README.md, so that they are compiled.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
pub mod readme {}
