//! The future of a middleware.

use std::pin::Pin;

use crate::message::response::Response;

/// The future that a middleware with options returns.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Response>>>;
