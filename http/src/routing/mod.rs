//! Finds the handler of a request and runs it.

pub(crate) mod handler;
mod layers;
mod literals;
pub(crate) mod method_router;
mod path;
pub(crate) mod router;
pub(crate) mod service;
pub(crate) mod timeout;
