//! What can be known about a loop from any thread: plain data, published by the loop.
//!
//! Nothing here needs the loop's help, so a loop that is stuck can be described like any other.

pub(crate) mod info;
pub(crate) mod labels;
pub(crate) mod panic;
pub(crate) mod poll_times;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod unhandled;
pub(crate) mod vitals;
pub(crate) mod watchdog;
