//! A part that finishes although its awaiter is cancelled.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::executor::core::Core;
use crate::executor::table::Origin;
use crate::task::join::JoinHandle;
use crate::task::spawn_on;

/// Runs `future` as a task of its own, and gives its output: when whoever awaits that is
/// cancelled, `future` runs on to its end. What `asyncio.shield` is for.
///
/// The output comes without a `Result`, as if `future` were awaited itself: its panic goes on in
/// the awaiter.
///
/// # Panics
/// If there is no event loop on this thread.
///
/// # Examples
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// use brigade_runtime::{task::{shield, yield_now}, time::timeout};
///
/// brigade_runtime::run(async {
///     let saved = Rc::new(Cell::new(false));
///     let flag = saved.clone();
///     let save = async move { yield_now().await; yield_now().await; flag.set(true) };
///     assert!(timeout(Duration::ZERO, shield(save)).await.is_err());
///     while !saved.get() {
///         yield_now().await;
///     }
/// });
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Shield<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let origin = Origin { name: None, site: Location::caller() };
    Shield { task: spawn_on(Core::current(), future, origin) }
}

/// The awaited side of [`shield`]. Dropping it lets the shielded future run on.
#[must_use = "the future runs on by itself; await this for its output"]
pub struct Shield<T> {
    task: JoinHandle<T>,
}

impl<T: 'static> Future for Shield<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.task.poll_outcome(cx).map(|outcome| match outcome {
            Ok(output) => output,
            // Nobody can cancel the task but the end of the loop, with which the awaiter ends too.
            Err(error) => panic!("{}", error.resume_panic()),
        })
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("task", &self.task).finish()
    }
}
