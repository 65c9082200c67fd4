//! The options of a loop that its core reads while it runs.

use std::time::Duration;

use crate::executor::blocking_pool::BlockingPool;

/// Default of [`Builder::slow_poll_threshold`]: 100 ms, as in asyncio.
///
/// [`Builder::slow_poll_threshold`]: crate::event_loop::Builder::slow_poll_threshold
pub const SLOW_POLL_THRESHOLD: Duration = Duration::from_millis(100);

/// Debug mode and its threshold, and the pool for work that blocks.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) debug: bool,
    pub(crate) slow_poll_threshold: Duration,
    /// Where `spawn_blocking` runs its work.
    pub(crate) blocking_pool: BlockingPool,
}

impl Settings {
    /// Returns the defaults; debug mode is on if the environment has `BRIGADE_DEBUG=1`.
    pub(crate) fn from_env() -> Self {
        let debug = std::env::var_os("BRIGADE_DEBUG").is_some_and(|value| value == "1");
        let blocking_pool = BlockingPool::of_process();
        Self { debug, slow_poll_threshold: SLOW_POLL_THRESHOLD, blocking_pool }
    }
}
