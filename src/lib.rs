//! The facade of brigade.
#![forbid(unsafe_code)]
#[doc(no_inline)]
pub use brigade_runtime::*;
#[cfg(feature = "http")]
pub use brigade_http as http;
