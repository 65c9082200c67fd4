//! A loop that accepts connections for itself.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::budget::poll_proceed;
use crate::net::TcpListener;
use crate::server::connection_queue::{AcceptedConnection, ConnectionReceiver, LoopEvent};
use crate::server::exhaustion::{Exhaustion, is_exhaustion};
use crate::time::{Sleep, sleep};

/// The connections of one loop: those that an [`Acceptor`](crate::server::Acceptor) gives to it,
/// and those that it accepts from listeners of its own.
///
/// A connection that its loop accepts is started at once, without waking another thread. But no
/// other loop takes it over if this one stalls: it waits in the kernel until the loop turns again.
#[derive(Debug)]
pub struct LoopAcceptor {
    receiver: ConnectionReceiver,
    /// `None` if the loop has no listener of its own, or has accepted its last connection.
    own: Option<OwnListeners>,
}

#[derive(Debug)]
struct OwnListeners {
    listeners: Vec<TcpListener>,
    /// The listener that is tried first the next time.
    next: usize,
    /// How many connections may still be accepted during the shutdown, once that has begun.
    last: Option<u32>,
    exhaustion: Exhaustion,
    /// Set while accepting pauses.
    pause: Option<Sleep>,
}

impl LoopAcceptor {
    /// Receives the connections of this thread's loop from `receiver` and from `listeners`, which
    /// may be empty.
    ///
    /// # Errors
    /// If a listener cannot be made non-blocking, or cannot be registered.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn new(
        receiver: ConnectionReceiver,
        listeners: Vec<std::net::TcpListener>,
    ) -> io::Result<Self> {
        let own = match listeners.is_empty() {
            true => None,
            false => Some(OwnListeners::new(listeners, &receiver)?),
        };
        Ok(Self { receiver, own })
    }

    /// Waits for the next connection, or for a request to close idle ones. Returns `None` once the
    /// [`Acceptor`](crate::server::Acceptor) is gone and everything that it placed, and everything
    /// in the backlogs of the loop's own listeners, has been received. The listeners are closed
    /// then.
    ///
    /// Errors of accept(2) end no server: when descriptors run out, all loops are asked to close
    /// idle connections and this one pauses; if that does not help, it turns the waiting
    /// connections away.
    ///
    /// # Cancel safety
    /// Cancel safe: no connection is lost.
    pub async fn recv(&mut self) -> Option<LoopEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Returns the receiver of the connections that the acceptor places.
    #[must_use]
    pub fn receiver(&self) -> &ConnectionReceiver {
        &self.receiver
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<LoopEvent>> {
        if let Some(own) = self.own.as_mut().filter(|own| own.last.is_none())
            && let Poll::Ready(connection) = own.poll_accept(&self.receiver, cx)
        {
            return Poll::Ready(Some(LoopEvent::Connection(connection)));
        }
        if let Some(event) = ready!(self.receiver.poll_recv(cx)) {
            return Poll::Ready(Some(event));
        }
        ready!(poll_proceed(cx));
        let last = self.own.as_mut().and_then(|own| own.accept_last(&self.receiver));
        if last.is_none() {
            self.own = None;
        }
        Poll::Ready(last.map(LoopEvent::Connection))
    }
}

impl OwnListeners {
    fn new(
        listeners: Vec<std::net::TcpListener>,
        receiver: &ConnectionReceiver,
    ) -> io::Result<Self> {
        let listeners = listeners.into_iter().map(TcpListener::from_std);
        Ok(Self {
            listeners: listeners.collect::<io::Result<_>>()?,
            next: 0,
            last: None,
            exhaustion: Exhaustion::new(receiver.turned_away().clone()),
            pause: None,
        })
    }

    fn poll_accept(
        &mut self,
        receiver: &ConnectionReceiver,
        cx: &mut Context<'_>,
    ) -> Poll<AcceptedConnection> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(Pin::new(pause).poll(cx));
                self.pause = None;
            }
            let (index, accepted) = ready!(self.poll_listeners(cx));
            match accepted {
                Ok((stream, peer)) => {
                    self.exhaustion.reset();
                    return Poll::Ready(receiver.admit(stream, peer));
                }
                Err(error) => self.recover(index, receiver, &error),
            }
        }
    }

    /// Ready with the next connection or error, and the index of its listener. Listeners take
    /// turns, so that a busy one does not shut out the others.
    fn poll_listeners(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Accepted)> {
        let count = self.listeners.len();
        for index in (self.next..count).chain(0..self.next.min(count)) {
            if let Poll::Ready(accepted) = self.listeners[index].poll_accept_std(cx) {
                self.next = index + 1;
                return Poll::Ready((index, accepted));
            }
        }
        Poll::Pending
    }

    fn recover(&mut self, index: usize, receiver: &ConnectionReceiver, error: &io::Error) {
        if let Some(pause) = self.exhaustion.pause(&self.listeners[index], error) {
            receiver.report_exhausted();
            self.pause = Some(sleep(pause));
        }
    }

    /// Returns a connection that waits in a backlog. It returns no more of them in all than a
    /// backlog holds, so that an endless stream of newcomers does not delay the shutdown.
    fn accept_last(&mut self, receiver: &ConnectionReceiver) -> Option<AcceptedConnection> {
        while let Some(listener) = self.listeners.first() {
            let left = self.last.get_or_insert(TcpListener::BACKLOG);
            let accepted = (*left > 0).then(|| listener.try_accept_std());
            *left = left.saturating_sub(1);
            match accepted {
                Some(Ok((stream, peer))) => return Some(receiver.admit(stream, peer)),
                Some(Err(error))
                    if error.kind() != io::ErrorKind::WouldBlock && !is_exhaustion(&error) => {}
                _ => {
                    self.last = Some(TcpListener::BACKLOG);
                    self.listeners.remove(0);
                }
            }
        }
        None
    }
}

type Accepted = io::Result<(std::net::TcpStream, std::net::SocketAddr)>;
