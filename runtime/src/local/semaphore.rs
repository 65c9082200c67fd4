//! A limit on the number of tasks that do something at the same time.

use std::fmt;
use std::rc::Rc;

use crate::local::permits::Permits;

/// A counting semaphore, like asyncio's. A clone refers to the same semaphore.
///
/// With one permit it is a lock, like asyncio's `Lock`.
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
    /// Creates a semaphore with `permits` permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { permits: Rc::new(Permits::new(permits, usize::MAX)) }
    }

    /// Waits for a permit. Tasks get permits in the order in which they began to wait.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no permit is taken, and the task loses its
    /// place in the queue.
    pub async fn acquire(&self) -> SemaphorePermit {
        let acquired = self.permits.acquire().await;
        acquired.expect("a semaphore is never closed");
        SemaphorePermit { permits: self.permits.clone() }
    }

    /// Takes a permit if one is available. Returns `None` if all are held or promised to tasks that
    /// wait.
    #[must_use]
    pub fn try_acquire(&self) -> Option<SemaphorePermit> {
        self.permits.try_acquire().then(|| SemaphorePermit { permits: self.permits.clone() })
    }

    /// Returns the number of available permits.
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

/// A permit of a [`Semaphore`], returned to it when dropped.
#[must_use = "a permit is returned to its semaphore when it is dropped"]
pub struct SemaphorePermit {
    permits: Rc<Permits>,
}

impl Drop for SemaphorePermit {
    fn drop(&mut self) {
        self.permits.add();
    }
}

impl fmt::Debug for SemaphorePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").finish_non_exhaustive()
    }
}
