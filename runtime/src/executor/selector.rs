//! The system's selector, the readiness of each source, and the tasks that wait for it.
//!
//! This is the only file that uses `mio::Poll`. A source is registered edge-triggered and for
//! reading, when the first operation on it has to wait (or at once, if its owner wants that).
//! Writing is added when a write has to wait: most sockets can always be written to, and would
//! cause events without a use. Readiness is kept as bits beside the source until an operation
//! returns `WouldBlock`, so no system call is needed between two edges.
//!
//! Events may be spurious, and a token may outlive its source. Then its key is stale.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll, RawWakerVTable, Waker};
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};

use crate::executor::inbox::Notify;
use crate::executor::remote_registry::RemoteRegistry;
use crate::executor::slots::{Key, Slots};

pub(crate) struct Selector {
    system: RefCell<System>,
    registry: Arc<Registry>,
    sources: RefCell<Slots<Readiness>>,
    /// How often the loop has waited: at least once per turn.
    waits: Cell<u64>,
}

struct System {
    poll: mio::Poll,
    /// The events of the last wait.
    events: Events,
}

/// What a source is known to be ready for, and the tasks that wait for it.
struct Readiness {
    bits: u8,
    /// Why the source could not be registered.
    register_error: Option<io::ErrorKind>,
    readers: Waiters,
    writers: Waiters,
}

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// The peer has sent its last byte. Reading stays ready.
const READ_CLOSED: u8 = 4;
/// Nothing more can be written. Writing stays ready, with an error.
const WRITE_CLOSED: u8 = 8;
/// The source is registered for reading and for the end of the stream.
const REGISTERED: u8 = 16;
/// The source is also registered for writing.
const REGISTERED_FOR_WRITING: u8 = 32;
/// An event has reported urgent data or an error. Never cleared.
const EXCEPTIONAL: u8 = 64;

/// The interest in reading, and in urgent data (`EPOLLPRI`, see epoll_ctl(2)) where
/// [`REPORTS_URGENT_DATA`] says so.
#[cfg(any(target_os = "linux", target_os = "android"))]
const READ_INTEREST: Interest = Interest::READABLE.add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const READ_INTEREST: Interest = Interest::READABLE;

/// Whether the selector reports that a TCP socket has received urgent data.
pub(crate) const REPORTS_URGENT_DATA: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Events taken from the system in one wait. More are left for the next turn.
const EVENTS_PER_WAIT: usize = 1024;
/// The token of the loop's own waker. It differs from all keys, since slots end one index earlier.
const NOTIFICATION: Token = Token(usize::MAX);

// A token holds a whole key.
const _: () = assert!(size_of::<usize>() == 8, "brigade needs 64-bit pointers");

impl Notify for mio::Waker {
    fn notify(&self) {
        if let Err(error) = until_not_interrupted(|| self.wake()) {
            // Not expected: the descriptor is open as long as this waker exists.
            tracing::error!(%error, "cannot notify an event loop");
        }
    }
}

/// Repeats a wake until no signal interrupts it. An interrupted write notifies nothing (eventfd(2),
/// signal(7)).
fn until_not_interrupted(mut wake: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match wake() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Selector {
    /// Returns a selector, and the waker that ends its wait from other threads.
    pub(crate) fn new() -> io::Result<(Self, mio::Waker)> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = mio::Waker::new(&registry, NOTIFICATION)?;
        let events = Events::with_capacity(EVENTS_PER_WAIT);
        let system = RefCell::new(System { poll, events });
        let sources = RefCell::new(Slots::new());
        let registry = Arc::new(registry);
        Ok((Self { system, registry, sources, waits: Cell::new(0) }, waker))
    }

    /// Waits for I/O or a notification until `timeout` has passed. Returns `true` if there was an
    /// event or a notification; [`Selector::mark_ready`] handles the events. A signal ends the wait
    /// early, without events.
    #[inline(always)]
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        self.waits.update(|waits| waits + 1);
        let System { poll, events } = &mut *self.system.borrow_mut();
        match poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(false)
            }
            result => result.map(|()| !events.is_empty()),
        }
    }

    /// Records the events of the last wait, and wakes the tasks that waited for them. Returns the
    /// number of events.
    pub(crate) fn mark_ready(&self) -> usize {
        let system = self.system.borrow();
        let events = system.events.iter().filter(|event| event.token() != NOTIFICATION);
        events.map(|event| self.record(event)).count()
    }

    fn record(&self, event: &Event) {
        self.set_ready(Key::from_u64(event.token().0 as u64), bits_of(event));
    }

    /// Marks a source as readable and wakes the tasks that wait to read from it, so that they look
    /// at it. Does nothing if the source was removed.
    pub(crate) fn mark_readable(&self, key: Key) {
        self.set_ready(key, READABLE);
    }

    #[inline(always)]
    fn set_ready(&self, key: Key, bits: u8) {
        let (readers, writers) = {
            let mut sources = self.sources.borrow_mut();
            let Some(source) = sources.get_mut(key) else { return };
            source.bits |= bits;
            (
                if bits & READABLE != 0 { source.readers.take() } else { Waiters::None },
                if bits & WRITABLE != 0 { source.writers.take() } else { Waiters::None },
            )
        };
        readers.wake();
        writers.wake();
    }

    /// Adds a source that is not registered yet. If it is `open`, it counts as ready for writing
    /// until an operation returns `WouldBlock`. It is not ready for reading before an event.
    pub(crate) fn insert(&self, open: bool) -> Key {
        let bits = if open { WRITABLE } else { 0 };
        let (readers, writers) = (Waiters::None, Waiters::None);
        self.sources.borrow_mut().insert(Readiness { bits, register_error: None, readers, writers })
    }

    /// Registers a source: for reading, or for both if `direction` is writing.
    ///
    /// What the source is ready for at that moment is an event, even though it is edge-triggered:
    /// epoll(7) polls a file that is added or modified, kqueue(2) runs the filter upon
    /// registration. So no earlier edge is lost, including the end of a stream.
    ///
    /// epoll may have the socket already: it drops a descriptor that is closed only with the last
    /// duplicate of it (epoll(7)), and a new duplicate may get the same number.
    pub(crate) fn register(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        direction: Direction,
    ) -> io::Result<()> {
        let token = Token(key.to_u64() as usize);
        let (interest, bits) = match direction {
            Direction::Read => (READ_INTEREST, REGISTERED),
            Direction::Write => {
                (READ_INTEREST | Interest::WRITABLE, REGISTERED | REGISTERED_FOR_WRITING)
            }
        };
        let mut io = SourceFd(&io.as_raw_fd());
        let mut registered = match self.has_bit(key, REGISTERED) {
            false => self.registry.register(&mut io, token, interest),
            true => self.registry.reregister(&mut io, token, interest),
        };
        if matches!(&registered, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            registered = self.registry.reregister(&mut io, token, interest);
        }
        if let Some(source) = self.sources.borrow_mut().get_mut(key) {
            source.register_error = registered.as_ref().err().map(io::Error::kind);
            source.bits |= if registered.is_ok() { bits } else { 0 };
        }
        registered
    }

    /// Removes a source that is about to be closed. Closing it deregisters it.
    pub(crate) fn remove(&self, key: Key) {
        // Bound to a name, so that wakers are dropped after the borrow has ended.
        let _removed = self.sources.borrow_mut().remove(key);
    }

    /// Removes all sources, because the loop ends. From then on [`Selector::poll_ready`] is ready
    /// for each of them.
    pub(crate) fn remove_all(&self) {
        // Bound to a name, so that wakers are dropped after the borrow has ended.
        let _removed = self.sources.borrow_mut().remove_all();
    }

    /// Deregisters a source that stays open, if it is registered.
    pub(crate) fn deregister(&self, key: Key, io: BorrowedFd<'_>) -> io::Result<()> {
        match self.has_bit(key, REGISTERED) {
            true => self.registry.deregister(&mut SourceFd(&io.as_raw_fd())),
            false => Ok(()),
        }
    }

    /// Returns what deregisters sources from other threads.
    pub(crate) fn remote_registry(&self) -> RemoteRegistry {
        RemoteRegistry::new(&self.registry)
    }

    /// Ready when an operation in `direction` is worth a try, because it may return something
    /// else than `WouldBlock`. Otherwise registers the task to be woken then.
    #[inline(always)]
    pub(crate) fn poll_ready(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_bits(key, io, direction, direction.bits(), cx)
    }

    /// Ready when one of `bits` is set, or when no event can come because the source cannot be
    /// registered. Otherwise registers the task to be woken at the next event in `direction`.
    /// Inlined, so that direction and bits are constants.
    #[inline(always)]
    fn poll_bits(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        direction: Direction,
        bits: u8,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        match self.poll_registered_bits(key, direction, bits, cx) {
            Some(polled) => polled,
            None => self.register_and_poll(key, io, direction, bits, cx),
        }
    }

    /// Polls a source as [`Selector::poll_ready`] does, but does not register it. Returns `None` if
    /// that is to be done first.
    pub(crate) fn poll_registered(
        &self,
        key: Key,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Option<Poll<()>> {
        self.poll_registered_bits(key, direction, direction.bits(), cx)
    }

    /// Polls for `bits`. Returns `None` if the source is not registered for `direction`.
    #[inline(always)]
    fn poll_registered_bits(
        &self,
        key: Key,
        direction: Direction,
        bits: u8,
        cx: &mut Context<'_>,
    ) -> Option<Poll<()>> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.get_mut(key) else { return Some(Poll::Ready(())) };
        if source.bits & bits != 0 {
            return Some(Poll::Ready(()));
        }
        if source.bits & direction.registered() == 0 {
            return None;
        }
        let to_wake = source.waiters(direction).add(cx.waker(), self.waits.get());
        drop(sources);
        to_wake.into_iter().for_each(Waker::wake);
        Some(Poll::Pending)
    }

    /// Registers a source and polls it again. If that fails, the next operation of the task returns
    /// the error, through [`Selector::would_block`].
    #[cold]
    fn register_and_poll(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        direction: Direction,
        bits: u8,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        match self.register(key, io, direction) {
            Ok(()) => self.poll_bits(key, io, direction, bits, cx),
            Err(error) => {
                log_register_error(&error);
                Poll::Ready(())
            }
        }
    }

    /// Clears the readiness for `direction`, because the system returned `WouldBlock`: the next
    /// operation waits for the next edge.
    ///
    /// This clears the closed bit too. A stream that has ended does not return `WouldBlock`, but an
    /// error that passes, such as a refused datagram, sets the same bit.
    ///
    /// # Errors
    /// If no edge will come, because the source could not be registered.
    pub(crate) fn would_block(&self, key: Key, direction: Direction) -> io::Result<()> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.get_mut(key) else { return Ok(()) };
        source.bits &= !direction.bits();
        match source.register_error {
            Some(kind) if source.bits & direction.registered() == 0 => {
                Err(io::Error::new(kind, "cannot register the socket with the selector"))
            }
            _ => Ok(()),
        }
    }

    /// Clears the readiness for `direction`, because an operation found that there is no more to
    /// do: the next one waits for the next edge. Does nothing if an event has reported that the
    /// direction is closed, or urgent data, or an error: these end an operation early, too.
    pub(crate) fn clear_ready(&self, key: Key, direction: Direction) {
        let (ready, closed) = match direction {
            Direction::Read => (READABLE, READ_CLOSED),
            Direction::Write => (WRITABLE, WRITE_CLOSED),
        };
        if let Some(source) = self.sources.borrow_mut().get_mut(key)
            && source.bits & (closed | EXCEPTIONAL) == 0
        {
            source.bits &= !ready;
        }
    }

    /// Returns `true` if an event has said that the peer sent its last byte or the connection is
    /// gone. There may still be bytes to read.
    pub(crate) fn is_read_closed(&self, key: Key) -> bool {
        self.has_bit(key, READ_CLOSED)
    }

    /// Returns `true` if an event has said that nothing more can be written.
    pub(crate) fn is_write_closed(&self, key: Key) -> bool {
        self.has_bit(key, WRITE_CLOSED)
    }

    fn has_bit(&self, key: Key, bit: u8) -> bool {
        self.sources.borrow().get(key).is_some_and(|source| source.bits & bit != 0)
    }

    /// Ready when [`Selector::is_read_closed`]. Otherwise registers the task to be woken at the
    /// next event.
    pub(crate) fn poll_read_closed(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_bits(key, io, Direction::Read, READ_CLOSED, cx)
    }

    /// Counts the registered sources. Takes time in proportion to the number of all sources.
    pub(crate) fn len(&self) -> usize {
        let sources = self.sources.borrow();
        sources.iter().filter(|(_, source)| source.bits & REGISTERED != 0).count()
    }
}

/// Logs that a socket could not be registered when a task had to wait for it.
pub(crate) fn log_register_error(error: &io::Error) {
    tracing::warn!(%error, "cannot register a socket with the selector");
}

fn bits_of(event: &Event) -> u8 {
    let mut bits = 0;
    if event.is_read_closed() {
        bits |= READABLE | READ_CLOSED;
    }
    // kqueue reports a reset to a source registered for reading only as an end with an error.
    if event.is_write_closed() || (event.is_read_closed() && event.is_error()) {
        bits |= WRITABLE | WRITE_CLOSED;
    }
    // The next operation in either direction returns the error.
    if event.is_readable() || event.is_error() {
        bits |= READABLE;
    }
    if event.is_writable() || event.is_error() {
        bits |= WRITABLE;
    }
    if event.is_priority() || event.is_error() {
        bits |= EXCEPTIONAL;
    }
    bits
}

impl Direction {
    /// Returns the bit that says that a source is registered for this direction.
    fn registered(self) -> u8 {
        match self {
            Self::Read => REGISTERED,
            Self::Write => REGISTERED_FOR_WRITING,
        }
    }

    /// Returns the bits of which one makes this direction ready.
    fn bits(self) -> u8 {
        match self {
            Self::Read => READABLE | READ_CLOSED,
            Self::Write => WRITABLE | WRITE_CLOSED,
        }
    }
}

impl Readiness {
    fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }
}

/// The wakers of the tasks that wait for one direction: nearly always none or one.
enum Waiters {
    None,
    One(Waker),
    /// Boxed because it is rare, and would make each source larger.
    Many(Box<Crowd>),
}

/// Many wakers, some of them of tasks that no longer wait. When there are more than `limit`, those
/// that joined long ago are removed and woken: tasks that still wait then join again. The limit is
/// twice what was left, so each waker that joins costs constant time on average.
struct Crowd {
    /// The wakers in the order in which they joined, each with [`Selector::waits`] at that time.
    wakers: Vec<(Waker, u64)>,
    /// The wakers that are in `wakers`.
    ids: HashSet<WakerId>,
    limit: usize,
}

/// Identifies what a waker wakes, like [`Waker::will_wake`].
type WakerId = (*const (), *const RawWakerVTable);

/// The least limit of a [`Crowd`].
const CROWD_LIMIT_MIN: usize = 32;

/// Wakers stay in their crowd for this many waits of the selector at least. A task that was woken
/// joins again within a few of them, so the same tasks are not woken again and again.
const RECENT_WAITS: u64 = 64;

impl Waiters {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::None)
    }

    /// Adds `waker` unless it is there already. `now` is [`Selector::waits`]. Returns wakers that
    /// were removed because there are too many; the caller wakes them.
    fn add(&mut self, waker: &Waker, now: u64) -> Vec<Waker> {
        match self {
            Self::None => *self = Self::One(waker.clone()),
            Self::One(one) if one.will_wake(waker) => {}
            Self::One(one) => {
                let mut crowd = Crowd::new();
                crowd.add(one, now);
                crowd.add(waker, now);
                *self = Self::Many(Box::new(crowd));
            }
            Self::Many(crowd) => return crowd.add(waker, now),
        }
        Vec::new()
    }

    fn wake(self) {
        match self {
            Self::None => {}
            Self::One(waker) => waker.wake(),
            Self::Many(crowd) => crowd.wakers.into_iter().for_each(|(waker, _)| waker.wake()),
        }
    }
}

impl Crowd {
    fn new() -> Self {
        Self { wakers: Vec::new(), ids: HashSet::new(), limit: CROWD_LIMIT_MIN }
    }

    fn add(&mut self, waker: &Waker, now: u64) -> Vec<Waker> {
        if !self.ids.insert(id(waker)) {
            return Vec::new();
        }
        self.wakers.push((waker.clone(), now));
        if self.wakers.len() <= self.limit {
            return Vec::new();
        }
        let is_old = |(_, joined): &mut (Waker, u64)| now - *joined > RECENT_WAITS;
        let old: Vec<_> = self.wakers.extract_if(.., is_old).map(|(waker, _)| waker).collect();
        for waker in &old {
            self.ids.remove(&id(waker));
        }
        self.limit = CROWD_LIMIT_MIN.max(2 * self.wakers.len());
        old
    }
}

fn id(waker: &Waker) -> WakerId {
    (waker.data(), waker.vtable())
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_notification_that_a_signal_interrupts_is_repeated() {
        let mut calls = 0;
        let notified = until_not_interrupted(|| {
            calls += 1;
            if calls < 4 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        });
        assert!(notified.is_ok() && calls == 4, "{notified:?} after {calls} calls");
    }

    struct Idle;

    impl std::task::Wake for Idle {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    fn new_waker() -> Waker {
        std::sync::Arc::new(Idle).into()
    }

    fn len(waiters: &Waiters) -> usize {
        match waiters {
            Waiters::None => 0,
            Waiters::One(_) => 1,
            Waiters::Many(crowd) => crowd.wakers.len(),
        }
    }

    #[test]
    fn wakers_of_tasks_that_wait_no_more_do_not_pile_up() {
        let mut waiters = Waiters::None;
        for now in 0..10_000 {
            waiters.add(&new_waker(), now);
            assert!(len(&waiters) <= 4 * RECENT_WAITS as usize);
        }
    }

    #[test]
    fn old_wakers_are_removed_once_twice_as_many_wait_as_were_left() {
        let mut crowd = Crowd::new();
        let mut removed =
            |count, now| (0..count).map(|_| crowd.add(&new_waker(), now).len()).sum::<usize>();
        assert_eq!(removed(CROWD_LIMIT_MIN, 0), 0);
        assert_eq!(removed(1, RECENT_WAITS), 0, "none is old");
        let later = 3 * RECENT_WAITS;
        assert_eq!(removed(CROWD_LIMIT_MIN + 1, later), 0, "not twice as many");
        assert_eq!(removed(1, later), CROWD_LIMIT_MIN + 1);
    }

    #[test]
    fn waits_are_counted() {
        let (selector, _waker) = Selector::new().unwrap();
        for _ in 0..3 {
            assert!(!selector.wait(Some(Duration::ZERO)).unwrap());
        }
        assert_eq!(selector.waits.get(), 3);
    }

    #[test]
    fn a_waker_that_is_added_twice_is_there_once() {
        let wakers: Vec<_> = (0..100).map(|_| new_waker()).collect();
        let mut waiters = Waiters::None;
        for _ in 0..2 {
            waiters.add(&wakers[0], 0);
            assert!(matches!(waiters, Waiters::One(_)));
        }
        for waker in wakers.iter().chain(&wakers) {
            assert!(waiters.add(waker, 0).is_empty());
        }
        assert_eq!(len(&waiters), wakers.len());
    }

    #[test]
    fn a_notification_that_fails_is_not_repeated() {
        let mut calls = 0;
        let notified = until_not_interrupted(|| {
            calls += 1;
            Err(io::ErrorKind::InvalidInput.into())
        });
        assert_eq!((notified.unwrap_err().kind(), calls), (io::ErrorKind::InvalidInput, 1));
    }
}
