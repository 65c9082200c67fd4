//! The open connections of one loop of a server, each a task.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::budget::consume_budget;
use crate::local::Notify;
use crate::task::current::set_successor;
use crate::task::{self, JoinHandle, TaskId, TaskInfo};

/// The name of the task of a connection.
pub(super) const CONNECTION: &str = "connection";

thread_local! {
    /// The connections of the server whose loop this thread runs.
    static CURRENT: RefCell<Weak<Inner>> = const { RefCell::new(Weak::new()) };
}

/// The open connections of one loop. Clones refer to the same connections.
#[derive(Clone)]
pub struct Connections {
    inner: Rc<Inner>,
}

struct Inner {
    /// Connections whose task has not ended.
    open: Cell<usize>,
    /// The task that spawns those of the connections.
    accept_task: Option<TaskId>,
    is_draining: Cell<bool>,
    /// Wakes the tasks that wait for the drain.
    draining: Notify,
    /// The task that waits until no connection is open.
    closed: Cell<Option<Waker>>,
    /// Describes the loop and its connections, for reports.
    describe: RefCell<Option<Describe>>,
}

/// The connections of a loop, without keeping them.
pub(super) struct WeakConnections(Weak<Inner>);

impl WeakConnections {
    pub(super) fn upgrade(&self) -> Option<Connections> {
        self.0.upgrade().map(|inner| Connections { inner })
    }
}

type Describe = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = String>>>>;

impl Connections {
    /// Returns the connections of a loop that starts to serve, in the task that accepts them.
    pub(super) fn new() -> Self {
        let connections = Self {
            inner: Rc::new(Inner {
                open: Cell::new(0),
                accept_task: task::current().map(|task| task.label.id()),
                is_draining: Cell::new(false),
                draining: Notify::new(),
                closed: Cell::new(None),
                describe: RefCell::new(None),
            }),
        };
        CURRENT.set(Rc::downgrade(&connections.inner));
        connections
    }

    /// Returns the connections of the server whose loop this thread runs, if it runs one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(|current| WeakConnections(current.clone()).upgrade())
    }

    pub(super) fn downgrade(&self) -> WeakConnections {
        WeakConnections(Rc::downgrade(&self.inner))
    }

    /// Spawns the task of one connection. The connection counts as open until `future` has ended
    /// or was dropped.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawn_task(future).detach();
    }

    /// Spawns a task that takes a connection over from the running task, which is that of the same
    /// connection and about to end. It counts as the connection's from then on.
    pub fn spawn_successor(&self, future: impl Future<Output = ()> + 'static) {
        let handle = self.spawn_task(future);
        set_successor(handle.id());
        handle.detach();
    }

    fn spawn_task(&self, future: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
        self.inner.open.update(|open| open + 1);
        let open = Open { connections: self.clone() };
        let serving = Serving { future, _open: open };
        task::Builder::new().name(CONNECTION).spawn(serving)
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.open.get()
    }

    /// Returns `true` once the server is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.is_draining.get()
    }

    /// Returns the tasks of the open connections.
    pub fn tasks(&self) -> impl Iterator<Item = TaskInfo> + use<> {
        let accept_task = self.inner.accept_task;
        let is_connection = move |task: &TaskInfo| {
            task.label.name() == Some(CONNECTION) && task.parent == accept_task
        };
        task::all().into_iter().filter(is_connection)
    }

    /// Polls the task of every connection, whatever it waits for.
    pub fn wake_all(&self) {
        self.tasks().for_each(|task| task::wake(task.label.id()));
    }

    pub(super) fn abort_all(&self) {
        self.tasks().for_each(|task| task::abort(task.label.id()));
    }

    pub(super) fn start_drain(&self) {
        self.inner.is_draining.set(true);
        self.inner.draining.notify_waiters();
    }

    /// Waits until the server is shutting down.
    async fn draining(&self) {
        while !self.is_draining() {
            self.inner.draining.notified().await;
        }
    }

    /// Waits until no connection is open.
    pub(super) async fn closed(&self) {
        poll_fn(|cx| {
            if self.open() == 0 {
                return Poll::Ready(());
            }
            let _before = self.inner.closed.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    pub(super) fn set_describe(&self, describe: Describe) {
        *self.inner.describe.borrow_mut() = Some(describe);
    }

    /// Returns a description of the loop and its connections, in a few lines.
    pub(super) async fn describe(&self) -> String {
        let describe = self.inner.describe.borrow().clone();
        match describe {
            Some(describe) => describe().await,
            None => String::new(),
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("open", &self.open())
            .field("is_draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

/// Waits until the server whose loop this thread runs starts to shut down. On a thread that runs no
/// loop of a server this waits for ever.
///
/// A task that is woken by it runs once more at least. The loop does not wait for anything else
/// than its connections, so a task that awaits more after that may be dropped.
///
/// # Cancel safety
/// Cancel safe.
pub async fn draining() {
    match Connections::current() {
        Some(connections) => {
            connections.draining().await;
            consume_budget().await;
        }
        None => std::future::pending().await,
    }
}

/// Waits for `future`, but no longer than until the server whose loop this thread runs starts to
/// shut down: then returns `None`, and `future` is dropped. A handler that would serve its
/// connection without end can stop where it waits for the peer.
///
/// # Cancel safety
/// As cancel safe as `future`, which is polled first: if it is ready, its output is returned, also
/// during the shutdown.
///
/// # Examples
/// ```no_run
/// use brigade_runtime::net::TcpStream;
/// use brigade_runtime::server::{TcpServer, until_draining};
///
/// async fn echo(stream: TcpStream) -> std::io::Result<()> {
///     let mut buffer = [0; 16 * 1024];
///     while let Some(read) = until_draining(stream.read(&mut buffer)).await {
///         match read? {
///             0 => break,
///             read => stream.write_all(&buffer[..read]).await?,
///         }
///     }
///     Ok(())
/// }
///
/// let server = TcpServer::bind("127.0.0.1:7007")?;
/// server.run(|| async |stream, _peer| drop(echo(stream).await))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn until_draining<F: Future>(future: F) -> Option<F::Output> {
    let (mut future, mut draining) = (pin!(future), pin!(draining()));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => draining.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Counts a connection as open on its loop until dropped.
struct Open {
    connections: Connections,
}

impl Drop for Open {
    fn drop(&mut self) {
        let inner = &self.connections.inner;
        inner.open.update(|open| open - 1);
        if inner.open.get() == 0
            && let Some(waker) = inner.closed.take()
        {
            waker.wake();
        }
    }
}

pin_project! {
    /// The future that serves a connection. Fields are dropped in this order, so the connection
    /// counts as open while its future is dropped.
    struct Serving<F> {
        #[pin]
        future: F,
        _open: Open,
    }
}

impl<F: Future<Output = ()>> Future for Serving<F> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().future.poll(cx)
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::{run, spawn};

    #[test]
    fn the_tasks_of_connections_are_known_by_their_name_and_the_task_that_spawned_them() {
        run(async {
            let connections = Connections::new();
            assert_eq!(connections.tasks().count(), 0);
            connections.spawn(pending());
            let spawned = connections.tasks().next().unwrap().label.id();
            spawn(pending::<()>()).detach();
            let spawn_elsewhere =
                || task::Builder::new().name(CONNECTION).spawn(pending::<()>()).detach();
            spawn(async move { spawn_elsewhere() }).await.unwrap();
            let tasks: Vec<_> = connections.tasks().map(|task| task.label.id()).collect();
            assert_eq!(tasks, [spawned]);
        });
    }

    #[test]
    fn a_task_that_takes_a_connection_over_is_known_until_it_ends() {
        run(async {
            let connections = Connections::new();
            let (end, ended) = crate::oneshot::channel::<()>();
            let taken_over = connections.clone();
            connections.spawn(async move {
                taken_over.spawn_successor(async move { _ = ended.await });
            });
            let first = connections.tasks().next().unwrap().label.id();
            task::yield_now().await;
            let tasks: Vec<_> = connections.tasks().map(|task| task.label.id()).collect();
            assert_eq!((tasks.len(), connections.open()), (1, 1));
            assert_ne!(tasks, [first]);
            drop(end);
            while connections.open() > 0 {
                task::yield_now().await;
            }
            assert_eq!(connections.tasks().count(), 0);
        });
    }

    #[test]
    fn the_task_of_every_connection_is_polled_when_all_are_woken() {
        run(async {
            let connections = Connections::new();
            let polls = Rc::new(Cell::new(0));
            for _ in 0..2 {
                let polls = polls.clone();
                connections.spawn(poll_fn(move |_| {
                    polls.set(polls.get() + 1);
                    Poll::Pending
                }));
            }
            task::yield_now().await;
            task::yield_now().await;
            assert_eq!(polls.get(), 2);
            connections.wake_all();
            task::yield_now().await;
            assert_eq!(polls.get(), 4);
        });
    }

    #[test]
    fn connections_are_described_once_it_is_known_how() {
        run(async {
            let connections = Connections::new();
            assert_eq!(connections.describe().await, "");
            connections.set_describe(Rc::new(|| Box::pin(async { "two lines".to_owned() })));
            assert_eq!(connections.describe().await, "two lines");
        });
    }
}
