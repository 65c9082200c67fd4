//! Threads: one with a loop (`thread`), one loop per core (`group`), the loops of a group as code
//! on them sees them (`loops`), a pool for work that blocks (`blocking`), and one for name lookups
//! (`lookup`).

pub(crate) mod blocking;
pub mod group;
pub(crate) mod lookup;
pub(crate) mod loops;
pub mod thread;
