//! A limit on how many tasks do something at once.

use std::fmt;
use std::rc::Rc;

use crate::local::permits::Permits;

/// A number of permits, each held by one task at a time. A clone is the same semaphore.
///
/// With one permit it is a lock: asyncio's `Lock`.
///
/// # Examples
/// ```
/// use brigade_runtime::local::Semaphore;
///
/// brigade_runtime::run(async {
///     let two_at_once = Semaphore::new(2);
///     let first = two_at_once.acquire().await;
///     let second = two_at_once.acquire().await;
///     assert!(two_at_once.try_acquire().is_none());
///     drop(first);
///     assert!(two_at_once.try_acquire().is_some());
///     drop(second);
/// });
/// ```
#[derive(Clone)]
pub struct Semaphore {
    permits: Rc<Permits>,
}

impl Semaphore {
    /// A semaphore with `permits` to begin with.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { permits: Rc::new(Permits::new(permits, usize::MAX)) }
    }

    /// Waits for a permit, first come, first served. Cancellation safe.
    pub async fn acquire(&self) -> Permit {
        let acquired = self.permits.acquire().await;
        acquired.expect("a semaphore is never closed");
        Permit { permits: self.permits.clone() }
    }

    /// A permit, if there is one and nobody waits for it.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Permit> {
        self.permits.try_acquire().then(|| Permit { permits: self.permits.clone() })
    }

    /// How many permits are free.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.permits.available()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available_permits", &self.available_permits()).finish()
    }
}

/// Leave to go on, given back when dropped.
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit {
    permits: Rc<Permits>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.add();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
