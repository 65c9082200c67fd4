//! Finds the handler of a request and runs it.

pub(crate) mod handler;
mod layers;
mod literals;
pub(crate) mod method_router;
pub(crate) mod router;
pub(crate) mod service;
pub(crate) mod timeout;
