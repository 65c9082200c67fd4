//! Threads: one with a loop (`thread`), one loop per core (`group`), and a pool for work that
//! blocks (`blocking`).

pub(crate) mod blocking;
pub mod group;
pub mod thread;
