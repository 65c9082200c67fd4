//! What the loop waits in: the system's selector, and who waits for which source.
//!
//! The only file that names `mio::Poll`. A source is registered edge-triggered, for reading: at
//! once, or when something has to wait for it for the first time, so never if nothing has to.
//! Writing is added when it has to be waited for: most sockets always take what is written, and
//! would make an event of it that nobody wants. What the system then hints is kept as readiness
//! bits beside the source until an operation finds the source drained; so nothing is asked of the
//! system between two edges.
//! Events may be spurious, and a token may outlive its source: its key is stale then.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};

use crate::executor::inbox::Notify;
use crate::executor::slots::{Key, Slots};

pub(crate) struct Selector {
    system: RefCell<System>,
    registry: Registry,
    sources: RefCell<Slots<Readiness>>,
}

struct System {
    poll: mio::Poll,
    /// What the last wait brought.
    events: Events,
}

/// What a source is ready for as far as is known, and who wants to know.
struct Readiness {
    bits: u8,
    /// Why it could not be registered.
    refused: Option<io::ErrorKind>,
    readers: Waiters,
    writers: Waiters,
}

/// Reading or writing: the two things one may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// The peer has sent its last byte; reading is ready for good.
const READ_CLOSED: u8 = 4;
/// Nothing more can be written; writing is ready for good, with an error.
const WRITE_CLOSED: u8 = 8;
/// The system tells what can be read, and the end.
const REGISTERED: u8 = 16;
/// And what can be written.
const REGISTERED_FOR_WRITING: u8 = 32;

/// Events taken from the system in one wait; more wait for the next turn.
const EVENTS_PER_WAIT: usize = 1024;
/// The token of the loop's own waker. No key is like it: slots end one index earlier.
const NOTIFICATION: Token = Token(usize::MAX);

// A token carries a whole key.
const _: () = assert!(size_of::<usize>() == 8, "brigade needs 64-bit pointers");

impl Notify for mio::Waker {
    fn notify(&self) {
        if let Err(error) = until_not_interrupted(|| self.wake()) {
            // Cannot happen with the descriptor open, and it lives as long as this waker.
            tracing::error!(%error, "an event loop could not be notified");
        }
    }
}

/// A write that a signal interrupted has notified nobody (eventfd(2), signal(7)).
fn until_not_interrupted(mut wake: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match wake() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Selector {
    /// A selector, and what wakes it from other threads.
    pub(crate) fn new() -> io::Result<(Self, mio::Waker)> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = mio::Waker::new(&registry, NOTIFICATION)?;
        let events = Events::with_capacity(EVENTS_PER_WAIT);
        let system = RefCell::new(System { poll, events });
        Ok((Self { system, registry, sources: RefCell::new(Slots::new()) }, waker))
    }

    /// Waits for I/O, or until `timeout` has passed, or for a notification.
    /// A signal ends the wait early, with nothing ready. Returns `true` if there is anything for
    /// [`Selector::mark_ready`], or was a notification.
    #[inline(always)]
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let System { poll, events } = &mut *self.system.borrow_mut();
        match poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(false)
            }
            result => result.map(|()| !events.is_empty()),
        }
    }

    /// Notes what the last wait brought, and wakes whoever waited for it.
    /// Returns how many sources had an event.
    pub(crate) fn mark_ready(&self) -> usize {
        let system = self.system.borrow();
        let events = system.events.iter().filter(|event| event.token() != NOTIFICATION);
        events.map(|event| self.note(event)).count()
    }

    fn note(&self, event: &Event) {
        let bits = bits_of(event);
        let (readers, writers) = {
            let mut sources = self.sources.borrow_mut();
            let Some(source) = sources.value_mut(Key::from_u64(event.token().0 as u64)) else {
                return;
            };
            source.bits |= bits;
            (
                if bits & READABLE != 0 { source.readers.take() } else { Waiters::None },
                if bits & WRITABLE != 0 { source.writers.take() } else { Waiters::None },
            )
        };
        readers.wake();
        writers.wake();
    }

    /// A new source, not registered yet. One that is `open` counts as ready for writing until an
    /// operation says otherwise; what is to be read the system tells first.
    pub(crate) fn insert(&self, open: bool) -> Key {
        let bits = if open { WRITABLE } else { 0 };
        let (readers, writers) = (Waiters::None, Waiters::None);
        self.sources.borrow_mut().insert(Readiness { bits, refused: None, readers, writers })
    }

    /// Registers a source for reading, and if `direction` is writing for both. What it is ready
    /// for at that moment is told like a change, edge-triggered or not: epoll(7) polls a file that
    /// is added or modified, kqueue(2) runs the filter upon registration. So nothing is lost that
    /// came before, not even the end of a stream.
    pub(crate) fn register(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        direction: Direction,
    ) -> io::Result<()> {
        let token = Token(key.to_u64() as usize);
        let (interest, bits) = match direction {
            Direction::Read => (Interest::READABLE, REGISTERED),
            Direction::Write => {
                (Interest::READABLE | Interest::WRITABLE, REGISTERED | REGISTERED_FOR_WRITING)
            }
        };
        let mut io = SourceFd(&io.as_raw_fd());
        let registered = match self.is(key, REGISTERED) {
            false => self.registry.register(&mut io, token, interest),
            true => self.registry.reregister(&mut io, token, interest),
        };
        if let Some(source) = self.sources.borrow_mut().value_mut(key) {
            source.refused = registered.as_ref().err().map(io::Error::kind);
            source.bits |= if registered.is_ok() { bits } else { 0 };
        }
        registered
    }

    /// Forgets a source that is about to be closed: closing ends the system's interest in it.
    pub(crate) fn forget(&self, key: Key) {
        // Bound to a name, so that wakers are dropped after the borrow has ended.
        let _forgotten = self.sources.borrow_mut().remove(key);
    }

    /// Ends the system's interest in a source that stays open, if it has any.
    pub(crate) fn deregister(&self, key: Key, io: BorrowedFd<'_>) -> io::Result<()> {
        match self.is(key, REGISTERED) {
            true => self.registry.deregister(&mut SourceFd(&io.as_raw_fd())),
            false => Ok(()),
        }
    }

    /// Ready when an operation in `direction` may succeed, or fail with something better than
    /// `WouldBlock`; otherwise the task is woken when that is so.
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

    /// Ready when one of `bits` is set, or no event will come since the source cannot be
    /// registered; otherwise the task is woken at the next event in `direction`. Inlined, so that
    /// direction and bits are known.
    #[inline(always)]
    fn poll_bits(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        direction: Direction,
        bits: u8,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.value_mut(key) else { return Poll::Ready(()) };
        if source.bits & bits != 0 {
            return Poll::Ready(());
        }
        if source.bits & direction.registered() == 0 {
            drop(sources);
            return self.register_and_poll(key, io, direction, bits, cx);
        }
        let crowd = source.waiters(direction).add(cx.waker());
        drop(sources);
        crowd.wake();
        Poll::Pending
    }

    /// Registers a source because a task has to wait for it. If that fails, whatever the task tries
    /// next is told why, see [`Selector::would_block`].
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
                tracing::warn!(%error, "a socket could not be registered with the selector");
                Poll::Ready(())
            }
        }
    }

    /// The system answered `WouldBlock`: whatever was noted for `direction`, wait for the next
    /// edge.
    /// The end of a stream never answers so, but what counts as one may be an error that passes,
    /// such as the refusal of a datagram.
    ///
    /// An error if no edge will come, since the source could not be registered.
    pub(crate) fn would_block(&self, key: Key, direction: Direction) -> io::Result<()> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.value_mut(key) else { return Ok(()) };
        source.bits &= !direction.bits();
        match source.refused {
            Some(kind) if source.bits & direction.registered() == 0 => {
                Err(io::Error::new(kind, "the socket could not be registered with the selector"))
            }
            _ => Ok(()),
        }
    }

    /// An operation found nothing more to do in `direction`: wait for the next edge.
    pub(crate) fn clear_ready(&self, key: Key, direction: Direction) {
        if let Some(source) = self.sources.borrow_mut().value_mut(key) {
            source.bits &= match direction {
                Direction::Read => !READABLE,
                Direction::Write => !WRITABLE,
            };
        }
    }

    /// Whether the peer has sent its last byte or the connection is gone, as far as is known.
    /// What it sent before may still wait to be read.
    pub(crate) fn is_read_closed(&self, key: Key) -> bool {
        self.is(key, READ_CLOSED)
    }

    /// Whether nothing more can be written, as far as is known.
    pub(crate) fn is_write_closed(&self, key: Key) -> bool {
        self.is(key, WRITE_CLOSED)
    }

    fn is(&self, key: Key, bit: u8) -> bool {
        self.sources.borrow().value(key).is_some_and(|source| source.bits & bit != 0)
    }

    /// Ready when [`Selector::is_read_closed`]; otherwise the task is woken at the next event.
    pub(crate) fn poll_read_closed(
        &self,
        key: Key,
        io: BorrowedFd<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_bits(key, io, Direction::Read, READ_CLOSED, cx)
    }

    /// How many sources are registered. Goes through all of them.
    pub(crate) fn len(&self) -> usize {
        let sources = self.sources.borrow();
        sources.iter().filter(|(_, source)| source.bits & REGISTERED != 0).count()
    }
}

fn bits_of(event: &Event) -> u8 {
    let mut bits = 0;
    if event.is_read_closed() {
        bits |= READABLE | READ_CLOSED;
    }
    // kqueue tells those who wait only to read of a reset as the end of the stream with an error.
    if event.is_write_closed() || (event.is_read_closed() && event.is_error()) {
        bits |= WRITABLE | WRITE_CLOSED;
    }
    // An error is told by the next operation, whichever it is.
    if event.is_readable() || event.is_error() {
        bits |= READABLE;
    }
    if event.is_writable() || event.is_error() {
        bits |= WRITABLE;
    }
    bits
}

impl Direction {
    /// The bit of a source that is registered for this.
    fn registered(self) -> u8 {
        match self {
            Self::Read => REGISTERED,
            Self::Write => REGISTERED_FOR_WRITING,
        }
    }

    /// The bits of which one is enough.
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

/// The wakers of those who wait for one direction: nearly always none or one.
enum Waiters {
    None,
    One(Waker),
    #[expect(clippy::box_collection, reason = "rare, and every source would grow by its size")]
    Many(Box<Vec<Waker>>),
}

/// Beyond so many, those who wait are woken to ask again, which sorts out those who no longer do.
const CROWD: usize = 32;

impl Waiters {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::None)
    }

    /// Adds `waker` unless it is there already. Returns whom to wake if that makes a crowd.
    fn add(&mut self, waker: &Waker) -> Self {
        match self {
            Self::None => *self = Self::One(waker.clone()),
            Self::One(one) if one.will_wake(waker) => {}
            Self::One(_) => {
                let Self::One(one) = self.take() else { unreachable!("matched above") };
                *self = Self::Many(Box::new(vec![one, waker.clone()]));
            }
            Self::Many(many) if many.iter().any(|one| one.will_wake(waker)) => {}
            Self::Many(many) => {
                many.push(waker.clone());
                if many.len() > CROWD {
                    return self.take();
                }
            }
        }
        Self::None
    }

    fn wake(self) {
        match self {
            Self::None => {}
            Self::One(waker) => waker.wake(),
            Self::Many(wakers) => wakers.into_iter().for_each(Waker::wake),
        }
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_signal_loses_no_notification() {
        let mut calls = 0;
        let notified = until_not_interrupted(|| {
            calls += 1;
            if calls < 4 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        });
        assert!(notified.is_ok() && calls == 4, "{notified:?} after {calls} calls");
    }

    #[test]
    fn a_notification_that_fails_is_not_tried_for_ever() {
        let mut calls = 0;
        let notified = until_not_interrupted(|| {
            calls += 1;
            Err(io::ErrorKind::InvalidInput.into())
        });
        assert_eq!((notified.unwrap_err().kind(), calls), (io::ErrorKind::InvalidInput, 1));
    }
}
