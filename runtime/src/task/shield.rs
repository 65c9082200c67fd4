//! A future that runs on if its awaiter is cancelled.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::executor::core::Core;
use crate::executor::table::Origin;
use crate::task::join::JoinHandle;
use crate::task::spawn::spawn_on;

/// Runs `future` as a task of its own and returns its output. If the awaiter is cancelled,
/// `future` runs on to its end. Like `asyncio.shield`.
///
/// The output is not a `Result`: a panic of `future` is resumed in the awaiter, as if it were
/// awaited directly.
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

/// The future returned by [`shield`]. Dropping it lets the shielded future run on.
#[must_use = "the shielded future runs on; await this for its output"]
pub struct Shield<T> {
    task: JoinHandle<T>,
}

impl<T: 'static> Future for Shield<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.task.poll_outcome(cx).map(|outcome| match outcome {
            Ok(output) => output,
            // Only the end of the loop cancels the task, and it ends the awaiter too.
            Err(error) => panic!("{}", error.resume_panic()),
        })
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("task", &self.task).finish()
    }
}
