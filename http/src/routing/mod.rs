//! Finds the handler of a request and runs it.

pub(crate) mod endpoint;
pub(crate) mod handler;
#[cfg(feature = "json")]
mod json_errors;
pub(crate) mod layers;
mod literals;
pub(crate) mod method_router;
mod on_error;
pub(crate) mod panics;
mod path;
pub(crate) mod router;
pub(crate) mod service;
pub(crate) mod timeout;
