//! A thread-per-core framework for network services: asyncio's model, in Rust.
//!
//! Each thread owns one event loop with its own selector, ready queue, timers and tasks. Tasks
//! never move between loops, so what they share needs neither `Send` nor a lock. An acceptor
//! distributes connections over the loops. A strict HTTP/1.1 layer sits on top.
//!
//! # Where things are
//!
//! | to | see |
//! | --- | --- |
//! | run a future to completion, as `asyncio.run` does | [`run`], [`EventLoop`] |
#![cfg_attr(
    feature = "macros",
    doc = "| make `main` or a test async | [`macro@main`], [`macro@test`] |"
)]
//! | spawn, name, list and cancel tasks | [`spawn`], [`task`], [`TaskGroup`] |
//! | await several futures at once | [`gather`], [`try_gather`], [`task::shield`] |
//! | await the first of several futures | [`select!`] |
//! | sleep, set a timeout, tick at an interval | [`time`] |
//! | use TCP, UDP and Unix sockets | [`net`] |
//! | copy from a reader to a writer, or in both directions | [`io`] |
//! | complete a future by hand | [`oneshot`] |
//! | pass values between tasks of one loop | [`local`] |
//! | call a function soon, later, or at an instant | [`call_soon`], [`call_later`], [`call_at`] |
//! | start a thread with a loop, or one per core | [`run_in_thread`], [`EventLoopGroup`] |
//! | reach a loop from other threads | [`LoopHandle`] |
//! | keep state in shards, one per loop, and reach it from any handler | [`Loops`] |
//! | run code that blocks or computes for a long time | [`spawn_blocking`] |
//! | distribute connections over loops | [`server`] |
//! | wait for signals | [`signal`] |
//! | see what a loop does, from any thread | [`LoopHandle::snapshot`], [`Unhandled`] |
#![cfg_attr(feature = "tls", doc = "| speak TLS, as a server or a client | [`tls`] |")]
#![cfg_attr(feature = "http", doc = "| serve HTTP, or send requests | [`http`] |")]
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
//! | feature | adds |
//! | --- | --- |
//! | `http`, on by default | the HTTP/1.1 layer; without it only the runtime is built |
//! | `macros`, on by default | the attributes [`macro@main`] and [`macro@test`] |
//! | `query` | query strings and forms, parsed into your types by serde |
//! | `json` | JSON bodies, parsed and written by serde |
//! | `files` | responses from files: conditional requests, ranges, media types |
//! | `compression` | compressed responses and requests, for clients too: gzip, brotli and zstd |
//! | `send-body` | bodies for libraries that want them to be `Send`, such as `multer` |
//! | `websocket` | WebSockets |
//! | `tower` | services and layers of tower in our routers, such as axum's routers |
//! | `hyper` | hyper's servers and clients on our loops |
//! | `http2` | HTTP/2 for the server, and with `tls` for the client |
//! | `tokio-io` | tokio's traits of reading and writing on our streams |
//! | `send` | futures and streams for libraries that want them to be `Send`, such as axum |
//! | `metrics` | a handler that serves the server's statistics to Prometheus |
//! | `tls` | TLS 1.2 and 1.3 for servers and clients |
//! | `tls-self-signed` | certificates for local servers, made when they start |
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
#[doc(inline)]
pub use brigade_http as http;

/// Bridges to other crates: tower and axum, hyper, and whatever wants futures to be `Send`.
#[cfg(any(feature = "tower", feature = "hyper", feature = "send"))]
pub mod bridge {
    #[cfg(feature = "tower")]
    pub use brigade_http::bridge::{HandlerFuture, HandlerService, ServiceFuture, TowerService};
    #[cfg(feature = "hyper")]
    pub use brigade_http::bridge::{HyperExecutor, HyperIo, HyperTimer};
    #[cfg(feature = "send")]
    pub use brigade_runtime::net::SendIo;
    #[cfg(feature = "send")]
    pub use brigade_runtime::task::{SendFuture, send};
}

#[cfg(feature = "tls")]
#[doc(inline)]
pub use brigade_runtime::tls;

#[doc(inline)]
pub use brigade_runtime::{
    event_loop, group, io, local, net, oneshot, server, signal, task, thread, time,
};

#[doc(inline)]
pub use brigade_runtime::{
    BlockingHandle, CallbackHandle, EventLoop, EventLoopGroup, Gather, JoinError, JoinHandle,
    LoopEnded, LoopHandle, Loops, PollTimes, RemoteJoinHandle, Snapshot, Stall, TaskGroup,
    TcpServer, ThreadHandle, TryGather, Unhandled, call_at, call_later, call_soon, gather,
    gather_all, run, run_in_thread, select, spawn, spawn_blocking, try_gather, try_gather_all,
};

/// Runs an async function on a new event loop of this thread, see [`run`].
///
/// # Examples
/// ```
/// #[brigade::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let answer = brigade::spawn(async { "42".parse::<u32>() }).await??;
///     assert_eq!(answer, 42);
///     Ok(())
/// }
/// ```
///
/// The same without the attribute:
///
/// ```
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     brigade::run(async {
///         let answer = brigade::spawn(async { "42".parse::<u32>() }).await??;
///         assert_eq!(answer, 42);
///         Ok(())
///     })
/// }
/// ```
#[cfg(feature = "macros")]
#[doc(inline)]
pub use brigade_macros::main;

/// Runs an async function as a test, on a new event loop.
///
/// The loop has a [manual clock](event_loop::Builder::manual_clock): it stands still, and jumps to
/// the next deadline when nothing is ready. So a test of a timeout of an hour takes no time. The
/// clock does not know what other threads and processes are about to send; use
/// `#[brigade::test(real_clock)]` for a test that waits for them.
///
/// The function may return a `Result`, and have further attributes, such as `#[should_panic]`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use brigade::time::{now, sleep};
///
/// #[brigade::test]
/// async fn an_hour_takes_no_time() {
///     let began = now();
///     sleep(Duration::from_secs(3600)).await;
///     assert_eq!(now() - began, Duration::from_secs(3600));
/// }
///
/// #[brigade::test(real_clock)]
/// async fn work_on_a_thread_is_awaited() -> Result<(), brigade::JoinError> {
///     brigade::spawn_blocking(|| ()).await
/// }
/// ```
#[cfg(feature = "macros")]
#[doc(inline)]
pub use brigade_macros::test;

/// Compiles the examples of README.md.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
pub mod readme {}

/// Compiles the examples of docs/channels.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/channels.md")]
pub mod channels {}

/// Compiles the examples of docs/handlers.md.
#[cfg(all(doctest, feature = "json", feature = "query"))]
#[doc = include_str!("../docs/handlers.md")]
pub mod handlers {}

/// Compiles the examples of docs/errors.md.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../docs/errors.md")]
pub mod errors {}

/// Compiles the examples of docs/bodies.md.
#[cfg(all(doctest, feature = "compression", feature = "json", feature = "send-body"))]
#[doc = include_str!("../docs/bodies.md")]
pub mod bodies {}

/// Compiles the examples of docs/client.md.
#[cfg(all(doctest, feature = "compression", feature = "json", feature = "query"))]
#[doc = include_str!("../docs/client.md")]
pub mod client_page {}

/// Compiles the examples of docs/shutdown.md.
#[cfg(all(doctest, feature = "http", feature = "macros"))]
#[doc = include_str!("../docs/shutdown.md")]
pub mod shutdown {}

/// Compiles the examples of docs/http2.md.
#[cfg(all(doctest, feature = "http2"))]
#[doc = include_str!("../docs/http2.md")]
pub mod http2_page {}

/// Compiles the examples of docs/websocket.md.
#[cfg(all(doctest, feature = "websocket"))]
#[doc = include_str!("../docs/websocket.md")]
pub mod websocket_page {}

/// Compiles the examples of docs/tls.md.
#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../docs/tls.md")]
pub mod tls_page {}
