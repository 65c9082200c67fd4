//! Threads: one with a loop, one loop per core, and a pool for what blocks.

pub(crate) mod blocking;
pub mod group;
pub mod thread;
