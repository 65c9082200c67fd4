//! The loops of a group, as code on one of them sees them.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::Location;
use std::sync::{Arc, Mutex};

use crate::executor::handle::{LoopHandle, RemoteJoinHandle};
use crate::oneshot::SyncReceiver;
use crate::sync::lock;
use crate::task::{JoinError, gather_all};

thread_local! {
    /// The loops of the group that this thread's loop belongs to.
    static CURRENT: RefCell<Option<Loops>> = const { RefCell::new(None) };
}

/// The loops of a server or of an [`EventLoopGroup`](crate::EventLoopGroup), for code on one of
/// them, such as a handler: state that is kept in shards, one per loop, needs no lock.
///
/// Loops have numbers from 0. A loop that dies and is replaced keeps its number: what is sent there
/// afterwards reaches the new loop. What the old one kept in thread-locals is gone.
///
/// A task may run on a loop that has just started before that loop has called the application's
/// factory, so thread-locals should initialise themselves.
///
/// Clones refer to the same loops, and can be sent to any thread.
///
/// # Examples
/// Counters of which each belongs to one loop:
///
/// ```
/// use std::cell::RefCell;
/// use std::collections::HashMap;
/// use brigade_runtime::{JoinError, Loops};
///
/// thread_local! {
///     static COUNTS: RefCell<HashMap<String, u64>> = RefCell::default();
/// }
///
/// async fn increment(key: String) -> Result<u64, JoinError> {
///     let loops = Loops::current();
///     let owner = loops.by_key(&key);
///     let increment = move || async move {
///         COUNTS.with_borrow_mut(|counts| {
///             let count = counts.entry(key).or_default();
///             *count += 1;
///             *count
///         })
///     };
///     loops.spawn_on(owner, increment).await
/// }
///
/// async fn sum() -> Result<u64, JoinError> {
///     let share = || async { COUNTS.with_borrow(|counts| counts.values().sum::<u64>()) };
///     Loops::current().on_each(share).await.into_iter().sum()
/// }
///
/// brigade_runtime::run(async {
///     increment("visits".to_owned()).await.unwrap();
///     assert_eq!(increment("visits".to_owned()).await.unwrap(), 2);
///     assert_eq!(sum().await.unwrap(), 2);
/// });
/// ```
#[derive(Clone)]
pub struct Loops {
    shared: Arc<Shared>,
    index: usize,
}

struct Shared {
    /// By the number of the loop. A handle is replaced together with its loop.
    handles: Vec<Mutex<LoopHandle>>,
    /// With random keys, so that nobody can choose names that all belong to one loop.
    hasher: RandomState,
}

impl Loops {
    /// Returns the loops of the server or group that this thread's loop belongs to. If it belongs
    /// to none, it is the only one, so code that uses this can be tested with [`run`](crate::run).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        let handle = LoopHandle::current();
        let current = CURRENT.try_with(|current| current.borrow().clone());
        current.ok().flatten().unwrap_or_else(|| Self::new([handle]))
    }

    pub(super) fn new(handles: impl IntoIterator<Item = LoopHandle>) -> Self {
        let handles = handles.into_iter().map(Mutex::new).collect();
        Self { shared: Arc::new(Shared { handles, hasher: RandomState::new() }), index: 0 }
    }

    /// Returns the same loops, for the loop with this number.
    pub(super) fn of_loop(&self, index: usize) -> Self {
        Self { shared: self.shared.clone(), index }
    }

    /// Lets code on the loop with this number find the loops, before any other message is handled
    /// there.
    pub(super) fn prepare(&self, index: usize, handle: &LoopHandle) {
        let loops = self.of_loop(index);
        // A loop that has ended needs none.
        let _ = handle.call_soon(move || CURRENT.set(Some(loops)));
    }

    /// Replaces the handle to a loop that has ended.
    pub(super) fn replace(&self, index: usize, handle: &LoopHandle) {
        self.prepare(index, handle);
        *lock(&self.shared.handles[index]) = handle.clone();
    }

    /// Spawns a task on the loop with this number, see [`LoopHandle::spawn`]: calls `make` on that
    /// loop's thread, and runs the future that it returns there. Only `make` and the output cross
    /// threads, so the future need not be `Send`.
    ///
    /// Returns a handle to await. If the loop has ended or ends first, and also if it has died and
    /// is not replaced yet, that is an error for which [`JoinError::is_loop_ended`] is `true`.
    ///
    /// # Panics
    /// If there is no loop with this number.
    #[track_caller]
    pub fn spawn_on<M, F>(&self, index: usize, make: M) -> RemoteJoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        self.handle(index).spawn_from(Location::caller(), make)
    }

    /// Returns the number of the loop that `key` belongs to: the same on every loop, as long as the
    /// server or group runs, also after a loop was replaced. Keys that are equal belong to one
    /// loop, also a `String` and a `&str`.
    ///
    /// Which loop it is differs from run to run, so that clients cannot choose keys that all belong
    /// to one loop.
    #[must_use]
    pub fn by_key<K: Hash + ?Sized>(&self, key: &K) -> usize {
        match self.len() {
            1 => 0,
            count => (self.shared.hasher.hash_one(key) % count as u64) as usize,
        }
    }

    /// Spawns a task on every loop at once, this one included, as [`Loops::spawn_on`] does, and
    /// waits for all of them. Returns the outcomes in the order of the loops: an error for a loop
    /// that has ended or ends first, and for a task that panics.
    ///
    /// # Cancel safety
    /// If the future is dropped after it was polled, the tasks run on, and their outputs are
    /// dropped.
    #[track_caller]
    pub fn on_each<M, F>(
        &self,
        make: M,
    ) -> impl Future<Output = Vec<Result<F::Output, JoinError>>> + use<M, F>
    where
        M: FnOnce() -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (loops, site) = (self.clone(), Location::caller());
        async move {
            let spawn = |index| loops.handle(index).spawn_from(site, make.clone());
            gather_all((0..loops.len()).map(spawn)).await
        }
    }

    /// Returns a handle to the loop with this number, as it is now.
    ///
    /// # Panics
    /// If there is no loop with this number.
    #[must_use]
    #[track_caller]
    pub fn handle(&self, index: usize) -> LoopHandle {
        let count = self.len();
        let handle = self.shared.handles.get(index);
        let handle = handle.unwrap_or_else(|| panic!("there is no loop {index}, only {count}"));
        lock(handle).clone()
    }

    /// Returns the number of the loop on which [`Loops::current`] was called.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns how many loops there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.handles.len()
    }

    /// Returns `true` if there are no loops, which never happens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.handles.is_empty()
    }
}

/// Runs the future that `make` returns, once this thread's loop has received the loops of its
/// group. Waits until the loop is stopped if the group did not start.
pub(super) async fn run_in_group<F: Future>(
    loops: SyncReceiver<Loops>,
    make: impl FnOnce() -> F,
) -> F::Output {
    match loops.await {
        // `prepare` has sent this too, but its message may still wait.
        Ok(loops) => CURRENT.set(Some(loops)),
        Err(_) => std::future::pending().await,
    }
    make().await
}

impl fmt::Debug for Loops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handles = (0..self.len()).map(|index| self.handle(index));
        f.debug_struct("Loops")
            .field("index", &self.index)
            .field("handles", &handles.collect::<Vec<_>>())
            .finish()
    }
}
