//! Arguments of handlers, made from the request.

mod body;
pub(crate) mod extension;
#[cfg(feature = "query")]
pub(crate) mod form;
pub(crate) mod from_request;
mod head;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "query")]
pub(crate) mod path;
#[cfg(feature = "query")]
mod path_deserializer;
pub(crate) mod peer;
#[cfg(feature = "query")]
pub(crate) mod query;
pub(crate) mod state;
#[cfg(feature = "tls")]
mod tls;
