//! Nothing but the examples of docs/interop.md: the tests are in `tests/`.
#![forbid(unsafe_code)]

/// Compiles the examples of docs/interop.md.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/interop.md")]
pub mod interop {}
