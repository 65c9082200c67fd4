//! A group of event loops, one thread each.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::thread::available_parallelism;

use crate::executor::builder;
use crate::executor::event_loop::EventLoop;
use crate::executor::handle::LoopHandle;
use crate::oneshot::sync_channel;
use crate::task::JoinError;
use crate::threads::loops::{Loops, run_in_group};
use crate::threads::thread;
use crate::threads::thread::ThreadHandle;

/// Returns the default number of loops in a group: one per core that this process may use.
#[must_use]
pub fn default_loops() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// A builder of an [`EventLoopGroup`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    loops: usize,
    pin: bool,
    name: String,
    event_loop: builder::Builder,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Returns a builder for one loop per core, each pinned to its core.
    pub fn new() -> Self {
        Self {
            loops: default_loops(),
            pin: true,
            name: "loop".to_owned(),
            event_loop: EventLoop::builder(),
        }
    }

    /// Sets the number of loops. Zero counts as one.
    pub fn loops(self, loops: usize) -> Self {
        Self { loops: loops.max(1), ..self }
    }

    /// Sets whether each thread is pinned to a core of its own. If the system refuses, a warning is
    /// logged. With more loops than cores no thread is pinned, because two loops would share a core
    /// while another core is idle.
    pub fn pin(self, pin: bool) -> Self {
        Self { pin, ..self }
    }

    /// Sets the prefix of the threads' names. A dash and the number of the loop, from 0, follow.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Sets the options of each loop.
    pub fn event_loop(self, event_loop: builder::Builder) -> Self {
        Self { event_loop, ..self }
    }

    /// Starts the loops. Once all are there, each calls `make` with its number and its item of
    /// `each`, and runs the future that `make` returns. Code on a loop reaches the others with
    /// [`Loops::current`].
    ///
    /// # Errors
    /// If a thread or its loop cannot be started. The loops that were started before are stopped.
    ///
    /// # Panics
    /// If `each` has fewer items than there are loops.
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
        let (mut handles, mut threads, mut entrances) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.loops {
            let item = each.next().expect("an item for each loop");
            let make = make.clone();
            let (enter, loops) = sync_channel();
            match self.thread(index).run(move || run_in_group(loops, move || make(index, item))) {
                Ok(thread) => {
                    handles.push(thread.loop_handle().clone());
                    threads.push(Some(thread));
                    entrances.push(enter);
                }
                Err(error) => {
                    handles.iter().for_each(LoopHandle::stop);
                    return Err(error);
                }
            }
        }
        let loops = Loops::new(handles.iter().cloned());
        // All of them first, because the loops that are let in first may send to the others.
        for (index, handle) in handles.iter().enumerate() {
            loops.prepare(index, handle);
        }
        for (index, enter) in entrances.into_iter().enumerate() {
            // Fails if the loop has been stopped already.
            let _ = enter.send(loops.of_loop(index));
        }
        Ok(EventLoopGroup { handles, threads, loops })
    }

    /// Returns the builder of the thread of loop `index`, as [`Builder::start`] uses it. Use it to
    /// restart a loop that ended; see [`EventLoopGroup::replace`].
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

/// A group of event loops, one thread each. Dropping the group lets them run on.
pub struct EventLoopGroup<T: 'static> {
    handles: Vec<LoopHandle>,
    /// The same handles, for code on the loops.
    loops: Loops,
    /// Absent once `ended` has returned the thread's outcome.
    threads: Vec<Option<ThreadHandle<T>>>,
}

impl EventLoopGroup<()> {
    /// Returns a builder, to start a group with options.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<T: 'static> EventLoopGroup<T> {
    /// Returns the number of loops.
    #[must_use]
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Returns `true` if there are no loops, which never happens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Returns a handle to each loop, in the order of their numbers.
    pub fn handles(&self) -> impl ExactSizeIterator<Item = &LoopHandle> {
        self.handles.iter()
    }

    /// Calls `callback` on each loop, in its next turn. Loops that have ended are skipped.
    pub fn on_each(&self, callback: impl Fn() + Clone + Send + 'static) {
        for handle in self.handles() {
            let _ = handle.call_soon(callback.clone());
        }
    }

    /// Waits until a loop ends. Returns its number and its output, or the reason why there is none.
    /// Each loop is returned once; after the last one this waits for ever.
    ///
    /// # Cancel safety
    /// This method is cancel safe: a loop whose end was not returned is returned by the next call.
    pub async fn ended(&mut self) -> (usize, Result<T, JoinError>) {
        poll_fn(|cx| {
            for (index, slot) in self.threads.iter_mut().enumerate() {
                if let Some(thread) = slot
                    && let Poll::Ready(outcome) = Pin::new(thread).poll(cx)
                {
                    *slot = None;
                    return Poll::Ready((index, outcome));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Replaces a loop that has ended: starts `thread`, calls `make` there, and runs the future
    /// that it returns. [`Builder::thread`] returns the builder of a thread like the one before.
    ///
    /// # Errors
    /// If the thread or its loop cannot be started.
    ///
    /// # Panics
    /// If there is no loop with this number.
    pub fn replace<M, F>(
        &mut self,
        index: usize,
        thread: thread::Builder,
        make: M,
    ) -> io::Result<()>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + 'static,
        T: Send,
    {
        assert!(index < self.len(), "there is no loop {index}, only {}", self.len());
        let (enter, loops) = sync_channel();
        let thread = thread.run(move || run_in_group(loops, make))?;
        let handle = thread.loop_handle().clone();
        self.loops.replace(index, &handle);
        self.handles[index] = handle;
        self.threads[index] = Some(thread);
        // Fails if the loop has been stopped already.
        let _ = enter.send(self.loops.of_loop(index));
        Ok(())
    }

    /// Waits until all loops have ended. Returns the output of each, or the reason why there is
    /// none. An output that [`EventLoopGroup::ended`] has returned is missing here: the result for
    /// its loop is an error.
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

    /// Blocks this thread until all loops have ended. Returns the same as
    /// [`EventLoopGroup::outcomes`].
    ///
    /// # Panics
    /// If called from a task, a callback or a destructor on an event loop, or on the thread of a
    /// loop of the group, because that would block the loop. Await [`EventLoopGroup::outcomes`]
    /// there.
    pub fn join(self) -> Vec<Result<T, JoinError>> {
        let join = |thread: Option<_>| {
            thread.map_or_else(|| Err(JoinError::loop_ended(None)), ThreadHandle::join)
        };
        self.threads.into_iter().map(join).collect()
    }
}

impl<T: 'static> fmt::Debug for EventLoopGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.handles).finish()
    }
}
