//! A loop that accepts connections for itself.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use crate::budget::poll_proceed;
use crate::net::{AnyListener, TcpListener};
use crate::server::accept_state::{AcceptState, accept_last};
use crate::server::accepted::AcceptedConnection;
use crate::server::connection_queue::{ConnectionReceiver, LoopEvent};
use crate::server::exhaustion::Exhaustion;

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
    listeners: Vec<AnyListener>,
    state: AcceptState,
    exhaustion: Exhaustion,
    /// How many connections may still be accepted from the first listener during the shutdown, once
    /// that has begun.
    last: Option<u32>,
}

impl LoopAcceptor {
    /// Receives the connections of this thread's loop from `receiver` and from `listeners`, which
    /// may be empty.
    #[must_use]
    pub fn new(receiver: ConnectionReceiver, listeners: Vec<AnyListener>) -> Self {
        let own = match listeners.is_empty() {
            true => None,
            false => Some(OwnListeners::new(listeners, &receiver)),
        };
        Self { receiver, own }
    }

    /// Waits for the next connection, or for a request to close idle ones. Returns `None` once the
    /// [`Acceptor`](crate::server::Acceptor) is gone and everything that it placed, and everything
    /// in the backlogs of the loop's own listeners, has been received. The listeners are closed
    /// then.
    ///
    /// Errors of accept(2) end no server: when descriptors run out, all loops are asked to close
    /// idle connections and this one pauses; if that does not help, it turns the waiting
    /// connections away. A listener that fails again and again is tried ten times a second.
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
        let Some(own) = &mut self.own else { return Poll::Ready(None) };
        let last = ready!(own.poll_accept_last(&self.receiver, cx));
        if last.is_none() {
            self.own = None;
        }
        Poll::Ready(last.map(LoopEvent::Connection))
    }
}

impl OwnListeners {
    fn new(listeners: Vec<AnyListener>, receiver: &ConnectionReceiver) -> Self {
        Self {
            listeners,
            state: AcceptState::default(),
            exhaustion: Exhaustion::new(receiver.turned_away().clone()),
            last: None,
        }
    }

    fn poll_accept(
        &mut self,
        receiver: &ConnectionReceiver,
        cx: &mut Context<'_>,
    ) -> Poll<AcceptedConnection> {
        loop {
            let report = || receiver.report_exhausted();
            let Self { listeners, state, exhaustion, .. } = self;
            // Without a connection there was an error.
            if let Some((stream, peer)) =
                ready!(state.poll_accept(listeners, exhaustion, cx, report))
            {
                return Poll::Ready(receiver.admit(stream, peer));
            }
        }
    }

    /// Ready with a connection that waits in a backlog, or with `None` if there is none left. It
    /// accepts no more from a listener than a backlog holds.
    fn poll_accept_last(
        &mut self,
        receiver: &ConnectionReceiver,
        cx: &mut Context<'_>,
    ) -> Poll<Option<AcceptedConnection>> {
        ready!(poll_proceed(cx));
        while let Some(listener) = self.listeners.first() {
            let left = self.last.get_or_insert(TcpListener::BACKLOG);
            if let Some((stream, peer)) = accept_last(listener, left) {
                return Poll::Ready(Some(receiver.admit(stream, peer)));
            }
            self.last = Some(TcpListener::BACKLOG);
            self.listeners.remove(0);
        }
        Poll::Ready(None)
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::run;
    use crate::server::Acceptor;

    #[test]
    fn what_waits_in_the_backlog_of_a_loop_at_the_end_is_received() {
        run(async {
            let (acceptor, mut receivers) = Acceptor::new(1);
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let listener = crate::net::TcpListener::from_std(listener).unwrap();
            let mut own = LoopAcceptor::new(receivers.remove(0), vec![listener.into()]);
            poll_fn(|cx| {
                assert!(own.poll_recv(cx).is_pending());
                // The loop does not learn of this before it ends.
                let _clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
                Poll::Ready(())
            })
            .await;
            drop(acceptor);
            poll_fn(|cx| {
                for _ in 0..2 {
                    let received = own.poll_recv(cx);
                    assert!(matches!(received, Poll::Ready(Some(LoopEvent::Connection(_)))));
                }
                assert!(matches!(own.poll_recv(cx), Poll::Ready(None)));
                Poll::Ready(())
            })
            .await;
        });
    }
}
