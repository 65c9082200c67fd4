//! A loop that accepts for itself.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::net::TcpListener;
use crate::server::connection_queue::{AcceptedConnection, ConnectionReceiver, Incoming};
use crate::server::exhaustion::{Exhaustion, is_exhaustion};
use crate::time::{Sleep, sleep};

/// Connections accepted before the loop's other tasks run once.
const ACCEPTS_PER_TURN: u32 = 64;

/// What comes to one loop: what an [`Acceptor`](crate::Acceptor) hands to it, and what the loop
/// accepts for itself if it has a listener of its own.
///
/// A connection that its loop accepts is begun with at once: no other thread is woken for it. But
/// nobody takes it back if the loop stalls, and it waits in the kernel until the loop turns again.
#[derive(Debug)]
pub struct LoopAcceptor {
    arrivals: ConnectionReceiver,
    /// Absent if the loop has no listener, or has accepted its last connection.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    listener: TcpListener,
    /// How many connections may still be accepted in this turn.
    left: u32,
    /// How many may still be accepted at all, once that is to end.
    last: Option<u32>,
    exhaustion: Exhaustion,
    /// Set while accepting pauses.
    pause: Option<Sleep>,
}

impl LoopAcceptor {
    /// Takes what comes to this thread's loop.
    ///
    /// # Errors
    /// If the listener cannot be made non-blocking, or cannot be registered.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn new(
        arrivals: ConnectionReceiver,
        listener: Option<std::net::TcpListener>,
    ) -> io::Result<Self> {
        let own = listener.map(|listener| Own::new(listener, &arrivals)).transpose()?;
        Ok(Self { arrivals, own })
    }

    /// Waits for the next connection, or what else the loop is to do. `None` once the
    /// [`Acceptor`](crate::Acceptor) is gone, and all that it handed over and all that waited in
    /// the backlog of the loop's own listener has been taken; that listener is closed then.
    ///
    /// Like the acceptor it outlives what accept(2) fails with: when descriptors run out all loops
    /// are asked to close idle connections, this one pauses, and if that was of no use turns away
    /// those who wait.
    ///
    /// Cancellation safe.
    pub async fn next_incoming(&mut self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_incoming(cx)).await
    }

    /// What was counted of the connections.
    #[must_use]
    pub fn arrivals(&self) -> &ConnectionReceiver {
        &self.arrivals
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if let Some(own) = self.own.as_mut().filter(|own| own.last.is_none())
            && let Poll::Ready(arrival) = own.poll_accept(&self.arrivals, cx)
        {
            return Poll::Ready(Some(Incoming::Connection(arrival)));
        }
        if let Some(incoming) = ready!(self.arrivals.poll_incoming(cx)) {
            return Poll::Ready(Some(incoming));
        }
        let last = self.own.as_mut().and_then(|own| own.accept_last(&self.arrivals));
        if last.is_none() {
            self.own = None;
        }
        Poll::Ready(last.map(Incoming::Connection))
    }
}

impl Own {
    fn new(listener: std::net::TcpListener, arrivals: &ConnectionReceiver) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        let exhaustion = Exhaustion::new(arrivals.turned_away());
        Ok(Self { listener, left: ACCEPTS_PER_TURN, last: None, exhaustion, pause: None })
    }

    fn poll_accept(
        &mut self,
        arrivals: &ConnectionReceiver,
        cx: &mut Context<'_>,
    ) -> Poll<AcceptedConnection> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(Pin::new(pause).poll(cx));
                self.pause = None;
            }
            if self.left == 0 {
                self.left = ACCEPTS_PER_TURN;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Poll::Ready(accepted) = self.listener.poll_accept_std(cx) else {
                self.left = ACCEPTS_PER_TURN;
                return Poll::Pending;
            };
            self.left -= 1;
            match accepted {
                Ok((stream, peer)) => {
                    self.exhaustion.is_over();
                    return Poll::Ready(arrivals.admit(stream, peer));
                }
                Err(error) => self.recover(arrivals, &error),
            }
        }
    }

    fn recover(&mut self, arrivals: &ConnectionReceiver, error: &io::Error) {
        if let Some(pause) = self.exhaustion.pause(&self.listener, error) {
            arrivals.tell_exhausted();
            self.pause = Some(sleep(pause));
        }
    }

    /// A connection that waits in the backlog. In all these are no more than it holds, so that
    /// newcomers without end do not put off the end.
    fn accept_last(&mut self, arrivals: &ConnectionReceiver) -> Option<AcceptedConnection> {
        let left = self.last.get_or_insert(TcpListener::BACKLOG);
        while *left > 0 {
            *left -= 1;
            match self.listener.try_accept_std() {
                Ok((stream, peer)) => return Some(arrivals.admit(stream, peer)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if is_exhaustion(&error) => return None,
                Err(_) => {}
            }
        }
        None
    }
}
