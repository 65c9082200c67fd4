//! Several loops, a thread each.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::thread::available_parallelism;

use crate::executor::event_loop;
use crate::executor::handle::LoopHandle;
use crate::task::JoinError;
use crate::threads::thread;
use crate::threads::thread::ThreadHandle;

/// How many loops a group has unless told otherwise: one per core that this process may use.
#[must_use]
pub fn default_loops() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Starts a group of loops.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    loops: usize,
    pin: bool,
    name: String,
    event_loop: event_loop::Builder,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// One loop per core, each pinned to its core.
    pub fn new() -> Self {
        Self {
            loops: default_loops(),
            pin: true,
            name: "loop".to_owned(),
            event_loop: event_loop::EventLoop::builder(),
        }
    }

    /// How many loops; at least one.
    pub fn loops(self, loops: usize) -> Self {
        Self { loops: loops.max(1), ..self }
    }

    /// Whether each thread is kept on a core of its own. Where the system refuses, a warning is
    /// logged. With more loops than cores nothing is pinned, since two would share a core while
    /// another one idles.
    pub fn pin(self, pin: bool) -> Self {
        Self { pin, ..self }
    }

    /// What the threads are called: this name, a dash and a number from 0.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The options of each loop.
    pub fn event_loop(self, event_loop: event_loop::Builder) -> Self {
        Self { event_loop, ..self }
    }

    /// Starts the loops. On each, `make` is called with the loop's number and what the iterator
    /// gives for it, and the future that it returns is run.
    ///
    /// # Errors
    /// If a thread or its loop cannot be started. Those started before are stopped.
    ///
    /// # Panics
    /// If `each` gives fewer items than there are loops.
    pub fn start<M, F, X>(
        self,
        each: impl IntoIterator<Item = X>,
        make: M,
    ) -> io::Result<EventLoopGroup<F::Output>>
    where
        M: Fn(usize, X) -> F + Clone + Send + 'static,
        X: Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let mut each = each.into_iter();
        let mut group = EventLoopGroup { handles: Vec::new(), threads: Vec::new() };
        for index in 0..self.loops {
            let item = each.next().expect("an item for each loop");
            let make = make.clone();
            match self.thread(index).run(move || make(index, item)) {
                Ok(thread) => {
                    group.handles.push(thread.loop_handle().clone());
                    group.threads.push(Some(thread));
                }
                Err(error) => {
                    group.handles().for_each(LoopHandle::stop);
                    return Err(error);
                }
            }
        }
        Ok(group)
    }

    /// The thread of one loop, as [`Builder::start`] would start it: for the successor of a loop
    /// that ended, see [`EventLoopGroup::replace`].
    pub fn thread(&self, index: usize) -> thread::Builder {
        let thread = thread::Builder::new()
            .name(format!("{}-{index}", self.name))
            .event_loop(self.event_loop.clone());
        match self.pin && self.loops <= default_loops() {
            true => thread.pin_to_core(index),
            false => thread,
        }
    }
}

/// Several loops, a thread each. Dropping the group lets them run on.
pub struct EventLoopGroup<T> {
    handles: Vec<LoopHandle>,
    /// Absent once its end was told.
    threads: Vec<Option<ThreadHandle<T>>>,
}

impl EventLoopGroup<()> {
    /// For a group with options.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<T> EventLoopGroup<T> {
    /// How many loops there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Returns `true` if there are none, which never happens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// A handle of each loop, in the order of their numbers.
    pub fn handles(&self) -> impl ExactSizeIterator<Item = &LoopHandle> {
        self.handles.iter()
    }

    /// Calls `callback` on each loop, in its next turn. Loops that have ended are passed over.
    pub fn on_each(&self, callback: impl Fn() + Clone + Send + 'static) {
        for handle in self.handles() {
            let _ = handle.call_soon(callback.clone());
        }
    }

    /// Waits until a loop ends. Returns its number and its output, or why there is none. Each
    /// loop's end is told once; when all have been told this waits for ever. Cancellation safe.
    pub async fn ended(&mut self) -> (usize, Result<T, JoinError>) {
        poll_fn(|cx| {
            for (index, place) in self.threads.iter_mut().enumerate() {
                if let Some(thread) = place
                    && let Poll::Ready(outcome) = Pin::new(thread).poll(cx)
                {
                    *place = None;
                    return Poll::Ready((index, outcome));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Puts a new loop in the place of one that has ended.
    ///
    /// # Panics
    /// If there are not so many loops.
    pub fn replace(&mut self, index: usize, thread: ThreadHandle<T>) {
        self.handles[index] = thread.loop_handle().clone();
        self.threads[index] = Some(thread);
    }

    /// Waits until all loops have ended. Returns the output of each, or why there is none: of one
    /// whose end was told by [`EventLoopGroup::ended`], that it ended.
    pub async fn outcomes(self) -> Vec<Result<T, JoinError>> {
        let mut outcomes = Vec::with_capacity(self.threads.len());
        for thread in self.threads {
            outcomes.push(match thread {
                Some(thread) => thread.await,
                None => Err(JoinError::loop_ended(None)),
            });
        }
        outcomes
    }

    /// Blocks this thread until all loops have ended. Returns the output of each, or why there is
    /// none, like [`EventLoopGroup::outcomes`].
    ///
    /// # Panics
    /// When called from a task: await [`EventLoopGroup::outcomes`] there.
    pub fn join(self) -> Vec<Result<T, JoinError>> {
        let join = |thread: Option<_>| {
            thread.map_or_else(|| Err(JoinError::loop_ended(None)), ThreadHandle::join)
        };
        self.threads.into_iter().map(join).collect()
    }
}

impl<T> fmt::Debug for EventLoopGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.handles).finish()
    }
}
