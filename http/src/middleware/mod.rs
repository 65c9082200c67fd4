//! Middleware, for [`Router::layer`](crate::Router::layer).
//!
//! A middleware is an `async fn(Request, Next) -> impl IntoResponse`. A middleware with options is
//! returned by a function that takes them, as an `impl AsyncFn(Request, Next) -> Response`. A layer
//! wraps what the router holds so far. The layer that is added last is the first to see a request
//! and the last to see its response, so a usual order is:
//!
//! ```
//! use std::time::Duration;
//!
//! use brigade_http::middleware::{self, CorsOptions};
//! use brigade_http::{Router, get};
//!
//! let router = Router::new()
//!     .route("/", get(async || "hello"))
//!     .layer(middleware::timeout(Duration::from_secs(30)))
//!     .layer(middleware::catch_panic)
//!     .layer(middleware::cors(CorsOptions::new()))
//!     .layer(middleware::log)
//!     .layer(middleware::request_id);
//! ```
//!
//! Layers see all responses of their router, including 404, 405, the 204 to `OPTIONS`, and the 413
//! to a body whose announced length is above the limit. They do not see the error responses of the
//! protocol to a malformed head, which has no route.

mod catch_panic;
#[cfg(feature = "compression")]
mod compression;
mod cors;
#[cfg(feature = "compression")]
mod decompression;
mod log;
mod log_line;
mod request_id;
mod timeout;

pub use catch_panic::catch_panic;
#[cfg(feature = "compression")]
pub use compression::{CompressionOptions, compression};
pub use cors::{CorsOptions, cors};
#[cfg(feature = "compression")]
pub use decompression::decompression;
pub use log::{log, log_to};
pub use log_line::LogFormat;
pub use request_id::{RequestId, request_id};
pub use timeout::timeout;
