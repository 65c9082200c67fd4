//! Task groups: no task outlives its group, and if one fails, all end.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::budget;
use crate::executor::core::Core;
use crate::executor::join_error::JoinError;
use crate::executor::table::Origin;
use crate::oneshot;
use crate::task::join::JoinHandle;
use crate::task::spawn::spawn_on;

/// A group of tasks, its children, like `asyncio.TaskGroup`. Made by [`TaskGroup::run`], which
/// passes it to a body.
///
/// - The group is done when its body and all its children are.
/// - The first child that returns an error or panics ends the group, and so does an error of the
///   body. The body and the other children are then cancelled.
/// - If the group is dropped before its end, for instance by a timeout, the body and all children
///   are cancelled.
///
/// In each case the destructors of the children have run when the group is gone. If more than 32
/// groups are nested, those of the innermost children run before the outermost group is gone. The
/// body may borrow from its surroundings; the children are tasks and may not.
///
/// # Examples
/// ```
/// use brigade_runtime::task::TaskGroup;
///
/// brigade_runtime::run(async {
///     let sum = TaskGroup::run(async |group: &TaskGroup<std::num::ParseIntError>| {
///         let one = group.spawn(async { "1".parse::<i32>() });
///         let two = group.spawn(async { "2".parse::<i32>() });
///         Ok(one.await + two.await)
///     });
///     assert_eq!(sum.await.unwrap(), 3);
/// });
/// ```
pub struct TaskGroup<E> {
    children: RefCell<FuturesUnordered<JoinHandle<Result<(), E>>>>,
}

impl<E: 'static> TaskGroup<E> {
    /// Runs `body` with a new group, and then waits for the children that are left. Returns the
    /// output of `body`.
    ///
    /// # Errors
    /// If the body or a child returns an error, or a child panics.
    ///
    /// # Panics
    /// If the body panics, with its panic. The children are cancelled.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the body and all children.
    pub async fn run<T>(body: impl AsyncFnOnce(&Self) -> Result<T, E>) -> Result<T, GroupError<E>> {
        let group = Self { children: RefCell::new(FuturesUnordered::new()) };
        // The group is declared first, so that the body is dropped before the children.
        let outcome = match group.run_body(body(&group)).await {
            Ok(output) => group.join().await.map(|()| output),
            Err(failure) => Err(failure),
        };
        outcome.map_err(|first| GroupError { others: group.cancel(), first })
    }

    /// Spawns `future` as a child: a task on this thread's loop that the group awaits.
    ///
    /// Returns a handle that may be awaited for the child's value. Errors are not returned there:
    /// they end the group.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn spawn<F, V>(&self, future: F) -> Child<'_, V>
    where
        F: Future<Output = Result<V, E>> + 'static,
        V: 'static,
    {
        self.add(future, Origin { name: None, site: Location::caller() })
    }

    /// Spawns `future` as a child with a name, like [`TaskGroup::spawn`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn spawn_named<F, V>(&self, name: impl Into<Cow<'static, str>>, future: F) -> Child<'_, V>
    where
        F: Future<Output = Result<V, E>> + 'static,
        V: 'static,
    {
        self.add(future, Origin { name: Some(name.into()), site: Location::caller() })
    }

    /// Returns the number of children whose end the group has not handled yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.borrow().len()
    }

    /// Returns `true` if [`TaskGroup::len`] is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[track_caller]
    fn add<F, V>(&self, future: F, origin: Origin) -> Child<'_, V>
    where
        F: Future<Output = Result<V, E>> + 'static,
        V: 'static,
    {
        let (sender, value) = oneshot::channel();
        let child = async move {
            // Fails if the `Child` was dropped, so that the value is not needed.
            let _ = sender.send(future.await?);
            Ok(())
        };
        let child = spawn_on(Core::current(), child, origin);
        self.children.borrow().push(child);
        Child { value: Some(value), group: PhantomData }
    }

    /// Runs `body` until it is done or a child has failed.
    async fn run_body<T>(&self, body: impl Future<Output = Result<T, E>>) -> Result<T, Failure<E>> {
        let mut body = pin!(body);
        poll_fn(|cx| {
            if let Poll::Ready(Err(failure)) = self.poll_children(cx) {
                return Poll::Ready(Err(failure));
            }
            if let Poll::Ready(result) = body.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(Failure::Error));
            }
            // Polled again to register with the children that the body has just spawned.
            match self.poll_children(cx) {
                Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    async fn join(&self) -> Result<(), Failure<E>> {
        poll_fn(|cx| self.poll_children(cx)).await
    }

    /// Ready when a child has failed or no child is left.
    fn poll_children(&self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<E>>> {
        let mut children = self.children.borrow_mut();
        loop {
            match children.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(Ok(())))) => {}
                Poll::Ready(Some(Ok(Err(error)))) => {
                    return Poll::Ready(Err(Failure::Error(error)));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Failure::Task(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Cancels the remaining children. Returns the errors of those that have failed already.
    fn cancel(&self) -> Vec<Failure<E>> {
        let mut cx = Context::from_waker(Waker::noop());
        let _limit = budget::lift();
        let failed = std::iter::from_fn(|| match self.poll_children(&mut cx) {
            Poll::Ready(Err(failure)) => Some(failure),
            _ => None,
        });
        let failed = failed.collect();
        self.cancel_children();
        failed
    }
}

impl<E> TaskGroup<E> {
    fn cancel_children(&self) {
        // Taken out of the cell first, because destructors run user code.
        for child in self.children.take() {
            child.cancel_now();
        }
    }
}

impl<E> Drop for TaskGroup<E> {
    fn drop(&mut self) {
        self.cancel_children();
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup").field("children", &self.children.borrow().len()).finish()
    }
}

/// A handle to a child of a [`TaskGroup`]: await it for the child's value. Dropping it does not
/// cancel the child.
///
/// Awaiting returns no error: if the child fails, the group ends and cancels its body, and with it
/// the code that awaits this handle.
///
/// # Panics
/// If polled again after it was ready.
pub struct Child<'group, V> {
    /// Absent once the child has failed.
    value: Option<oneshot::Receiver<V>>,
    group: PhantomData<&'group ()>,
}

impl<V> Future for Child<'_, V> {
    type Output = V;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        let Some(value) = &mut self.value else { return Poll::Pending };
        match Pin::new(value).poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(value),
            Poll::Ready(Err(_)) => {
                // The child failed, which ends the group.
                self.value = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<V> fmt::Debug for Child<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").finish_non_exhaustive()
    }
}

/// The error of a [`TaskGroup`]: the failure that ended it, and the failures of other children
/// until then. Like Python's `ExceptionGroup`.
///
/// `{}` shows all failures. `{:?}`, which `unwrap` prints, shows the first and the number of the
/// others; `{:#?}` shows all of them.
#[non_exhaustive]
pub struct GroupError<E> {
    /// The failure that ended the group.
    pub first: Failure<E>,
    /// The other failures until the group ended, in their order.
    pub others: Vec<Failure<E>>,
}

/// How the body or a child of a [`TaskGroup`] failed.
pub enum Failure<E> {
    /// It returned an error.
    Error(E),
    /// It panicked, was cancelled, or its loop ended.
    Task(JoinError),
}

impl<E> GroupError<E> {
    /// Returns all failures, beginning with the one that ended the group.
    pub fn iter(&self) -> impl Iterator<Item = &Failure<E>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<E> Failure<E> {
    /// Returns the error, unless the failure is a panic or a cancellation.
    #[must_use]
    pub fn error(&self) -> Option<&E> {
        match self {
            Self::Error(error) => Some(error),
            Self::Task(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task group failed: {}", self.first)?;
        self.others.iter().try_for_each(|other| write!(f, "; also: {other}"))
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Task(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for GroupError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.first {
            Failure::Error(error) => Some(error),
            Failure::Task(error) => Some(error),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.debug_list().entries(self.iter()).finish();
        }
        write!(f, "GroupError({:?}", self.first)?;
        match self.others.len() {
            0 => f.write_str(")"),
            others => write!(f, " and {others} more)"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Task(error) => error.fmt(f),
        }
    }
}
