//! Functions around handlers, for [`Router::layer`](crate::Router::layer).
//!
//! A middleware is an `async fn(Request, Next) -> impl IntoResponse`; those that have options are
//! made by a function that takes them. The layer that is added last is the first to see a
//! request and the last to see its answer, so a usual order is:
//!
//! ```
//! use std::time::Duration;
//!
//! use brigade_http::middleware::{self, CorsOptions};
//! use brigade_http::{Router, get};
//!
//! let router = Router::new()
//!     .route("/", get(async |_| "hello"))
//!     .layer(middleware::timeout(Duration::from_secs(30)))
//!     .layer(middleware::catch_panic)
//!     .layer(middleware::cors(CorsOptions::new()))
//!     .layer(middleware::log)
//!     .layer(middleware::request_id);
//! ```
//!
//! Layers are around all answers of their router: also 404 where no route matches, 405, and 204
//! to `OPTIONS`. What is refused before there is a request to route is answered without them: a
//! malformed head, or a body that says it is too long.

mod catch_panic;
mod cors;
mod log;
mod request_id;
mod timeout;

use std::pin::Pin;

use crate::message::response::Response;

pub use catch_panic::catch_panic;
pub use cors::{CorsOptions, cors};
pub use log::log;
pub use request_id::{RequestId, request_id};
pub use timeout::timeout;

/// The answer that is on its way through a middleware with options.
pub type Answering = Pin<Box<dyn Future<Output = Response>>>;
