//! One event loop per thread.
#![forbid(unsafe_code)]
