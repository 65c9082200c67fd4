//! Bridges to other crates: tower's services and layers, and hyper.
//!
//! Each is an optional feature.

#[cfg(feature = "tower")]
mod from_http;
#[cfg(feature = "tower")]
mod http_response;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "tower")]
mod polled_body;
#[cfg(feature = "tower")]
mod to_http;
#[cfg(feature = "tower")]
mod tower_layer;
#[cfg(feature = "tower")]
mod tower_routes;
#[cfg(feature = "tower")]
mod tower_service;

#[cfg(feature = "hyper")]
pub use hyper::{HyperExecutor, HyperIo, HyperTimer};
#[cfg(feature = "tower")]
pub use tower_layer::{HandlerFuture, HandlerService};
#[cfg(feature = "tower")]
pub use tower_service::{ServiceFuture, TowerService};
