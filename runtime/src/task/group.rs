//! Tasks that belong together: none outlives the group, and if one fails all end.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::executor::core::Core;
use crate::executor::join_error::JoinError;
use crate::executor::table::Origin;
use crate::oneshot;
use crate::task::join::JoinHandle;
use crate::task::spawn_on;

/// A group of tasks: its children. Made by [`TaskGroup::run`], for the time of its body.
///
/// - The group is done when its body and all its children are.
/// - The first child that gives an error or panics ends the group, and so does an error of the
///   body: the body and the other children are cancelled.
/// - Dropped before its end, by a timeout for instance, it cancels all of them. Either way their
///   destructors have run before the group is gone.
///
/// What `asyncio.TaskGroup` is for. The body may borrow from around the group; the children are
/// tasks, and may not.
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
    /// Runs `body` with a new group, and then waits for the children that it left.
    /// Returns the output of `body`.
    ///
    /// # Errors
    /// If the body or a child gave an error, or a child panicked. A panic of the body goes on in
    /// the caller, with the children cancelled.
    pub async fn run<T>(body: impl AsyncFnOnce(&Self) -> Result<T, E>) -> Result<T, GroupError<E>> {
        let group = Self { children: RefCell::new(FuturesUnordered::new()) };
        // In this order, so that the body goes before the children where both are dropped.
        let outcome = match group.watch(body(&group)).await {
            Ok(output) => group.join().await.map(|()| output),
            Err(failure) => Err(failure),
        };
        outcome.map_err(|first| GroupError { others: group.cancel(), first })
    }

    /// Runs `future` as a child: a task of this thread's loop that the group awaits.
    ///
    /// Returns a handle that may be awaited for the child's value. An error need not be handled
    /// there: it ends the group.
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

    /// Like [`TaskGroup::spawn`], with a name for the task.
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

    /// How many children have not been seen to end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.borrow().len()
    }

    /// Returns `true` if all children have been seen to end.
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
            // Who does not await the child does not want the value.
            let _ = sender.send(future.await?);
            Ok(())
        };
        self.children.borrow().push(spawn_on(Core::current(), child, origin));
        Child { value, group: PhantomData }
    }

    /// Runs `body` until it is done or a child has failed; then `body` is dropped.
    async fn watch<T>(&self, body: impl Future<Output = Result<T, E>>) -> Result<T, Failure<E>> {
        let mut body = pin!(body);
        poll_fn(|cx| {
            if let Poll::Ready(Err(failure)) = self.poll_children(cx) {
                return Poll::Ready(Err(failure));
            }
            if let Poll::Ready(result) = body.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(Failure::Error));
            }
            // Once more, so that what the body has just spawned is awaited too.
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

    /// Ready when a child has failed, or none is left.
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

    /// Cancels the children that are left. Returns the errors of those that had failed by then.
    fn cancel(&self) -> Vec<Failure<E>> {
        let mut cx = Context::from_waker(Waker::noop());
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
        // Out of the cell first: a destructor runs code of a user.
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

/// A child of a [`TaskGroup`]: await it for its value. Dropping it leaves the child running.
///
/// There is no error to handle: when the child fails, the group ends, and with it whoever awaits
/// this within the group's body.
pub struct Child<'group, V> {
    value: oneshot::Receiver<V>,
    group: PhantomData<&'group ()>,
}

impl<V> Future for Child<'_, V> {
    type Output = V;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        match Pin::new(&mut self.value).poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(value),
            // Cancelled is that the child failed: the group sees to it.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<V> fmt::Debug for Child<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").finish_non_exhaustive()
    }
}

/// Why a task group gave no value: the failure that ended it, and those of children that had
/// failed by the time it ended. asyncio's `ExceptionGroup`.
#[derive(Debug)]
#[non_exhaustive]
pub struct GroupError<E> {
    /// What ended the group.
    pub first: Failure<E>,
    /// What else had failed by then, in the order in which it did.
    pub others: Vec<Failure<E>>,
}

/// How the body or a child of a group failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// It gave an error.
    Error(E),
    /// It panicked, or its loop ended.
    Task(JoinError),
}

impl<E> GroupError<E> {
    /// All failures, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &Failure<E>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<E> Failure<E> {
    /// The error, if it is one and not a panic.
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
        write!(f, "a task group ended because of: {}", self.first)?;
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
