//! What tests need that start an example and talk to it as anybody would.

pub(crate) mod client;
pub(crate) mod server;
