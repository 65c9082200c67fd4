//! Threads: one with a loop (`thread`), one loop per core (`group`), a pool for work that blocks
//! (`blocking`), and one for name lookups (`lookup`).

pub(crate) mod blocking;
pub mod group;
pub(crate) mod lookup;
pub mod thread;
