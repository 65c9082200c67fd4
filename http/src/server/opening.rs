//! A connection before it is known what is spoken over it: waits for the client's first bytes, then
//! for the TLS handshake or for the preface of HTTP/2.
//!
//! ```text
//!                    first bytes
//!   Unclaimed ───────────┬──► Handshaking ───┬──► HTTP/1.1
//!       │                └──► Detecting ─────┘    or HTTP/2
//!       └──────────────────────────────────────► (closed)
//! ```

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use brigade_runtime::net::{AnyStream, PeerAddr};
use brigade_runtime::server::{
    AcceptedConnection, ConnectionGuard, Connections, UnclaimedConnection,
};
use brigade_runtime::{task, time};
use bytes::Bytes;

use crate::message::byte_stream::ByteStream;
use crate::server::activity::{ConnectionInfo, ConnectionState};
use crate::server::connection::ConnectionTask;
use crate::server::connection::timing::Taken;
use crate::server::handshake::Ready;
use crate::server::http2::{self, Detected, Http2Start};
use crate::server::loop_context::LoopContext;
use crate::transport::deadline::Deadline;

/// When the server shuts down, a connection that has sent nothing for this long is closed.
const DRAIN_QUIET: Duration = Duration::from_millis(250);

/// A connection that is being opened. When it is ready, another task serves it.
pub(super) struct Opening {
    context: Rc<LoopContext>,
    connections: Connections,
    peer: PeerAddr,
    taken: Taken,
    state: State,
    deadline: Deadline<Waiting>,
}

enum State {
    /// Nothing has been read yet. If this loop gets stuck, another one may take the connection
    /// over.
    Unclaimed(UnclaimedConnection),
    /// A handshake, which has a deadline of its own.
    Handshaking(Pin<Box<dyn Future<Output = Option<Ready>>>>, ConnectionGuard),
    /// The first bytes may be the beginning of HTTP/2.
    Detecting(AnyStream, ConnectionGuard, Vec<u8>),
    /// Ended, or within a step.
    Done,
}

/// What the connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waiting {
    #[default]
    FirstBytes,
    /// The rest of what is sent first.
    Preface,
}

impl Opening {
    /// Returns the task of a connection that was given to this loop.
    pub(super) fn new(
        context: Rc<LoopContext>,
        accepted: AcceptedConnection,
        connections: &Connections,
    ) -> Self {
        let AcceptedConnection { peer, accepted: at, .. } = accepted;
        let (taken, connections) = (Taken::now(at), connections.clone());
        let state = State::Unclaimed(accepted.into_unclaimed());
        Self { context, connections, peer, taken, state, deadline: Deadline::new() }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(()),
                State::Unclaimed(connection) => {
                    if connection.poll_readable(cx).is_pending() {
                        self.state = State::Unclaimed(connection);
                        return self.watch_clock(Waiting::FirstBytes, cx);
                    }
                    self.claim(connection);
                }
                State::Handshaking(mut handshake, guard) => match handshake.as_mut().poll(cx) {
                    Poll::Ready(Some(Ready { stream, alpn })) => {
                        self.serve(stream, guard, http2::of_alpn(alpn.as_deref()), &[]);
                    }
                    Poll::Ready(None) => {}
                    Poll::Pending => {
                        self.state = State::Handshaking(handshake, guard);
                        return Poll::Pending;
                    }
                },
                State::Detecting(socket, guard, first) => {
                    if socket.poll_readable(cx).is_pending() {
                        self.state = State::Detecting(socket, guard, first);
                        return self.watch_clock(Waiting::Preface, cx);
                    }
                    self.detect(socket, guard, first);
                }
            }
        }
    }

    fn claim(&mut self, connection: UnclaimedConnection) {
        // Otherwise another loop has taken it over.
        if let Some((socket, guard)) = connection.claim() {
            self.state = match &self.context.handshake {
                Some(handshake) => State::Handshaking(handshake.start(socket), guard),
                None => State::Detecting(socket, guard, Vec::new()),
            };
        }
    }

    /// Reads once, and looks whether the client speaks HTTP/2.
    fn detect(&mut self, socket: AnyStream, guard: ConnectionGuard, mut first: Vec<u8>) {
        let read = {
            let mut buffer = self.context.buffers.read_buffer();
            socket.try_read(&mut buffer).inspect(|count| first.extend(&buffer[..*count]))
        };
        let is_at_end = match read {
            Ok(count) => count == 0,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
            Err(error) => {
                let peer = self.peer;
                tracing::debug!(target: "brigade::http", %peer, %error, "connection failed");
                return;
            }
        };
        match http2::detect(&self.context.http2, &first) {
            Detected::NeedMore if !is_at_end => self.state = State::Detecting(socket, guard, first),
            Detected::Http2(start) => {
                self.serve(ByteStream::Socket(socket), guard, Some(start), &first);
            }
            // HTTP/1.1 has the right error for what is not complete.
            _ => self.serve(ByteStream::Socket(socket), guard, None, &first),
        }
    }

    /// Serves the connection, of which `early` was read, in a task of its own: this one is smaller.
    fn serve(
        &self,
        stream: ByteStream,
        guard: ConnectionGuard,
        http2: Option<Http2Start>,
        early: &[u8],
    ) {
        let (context, peer, taken) = (self.context.clone(), self.peer, self.taken);
        let Some(start) = http2 else {
            let task = ConnectionTask::over(context, peer, Some(taken), stream, Some(guard));
            return task.with_received(early).take_over(&self.connections);
        };
        let served = start.serve(stream, Bytes::copy_from_slice(early), context, peer, taken);
        self.connections.spawn_successor(async move {
            let _guard = guard;
            served.await;
        });
    }

    /// Ends a connection whose client has been silent for too long, or which has sent nothing and
    /// is not to send anything any more.
    fn watch_clock(&mut self, waiting: Waiting, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.waiting() != waiting {
            self.deadline.start(waiting);
        }
        let timeouts = &self.context.timeouts;
        let mut timeout = match (waiting, &self.context.handshake) {
            (Waiting::FirstBytes, Some(handshake)) => handshake.timeout(),
            (Waiting::FirstBytes, None) => timeouts.keep_alive,
            (Waiting::Preface, _) => timeouts.head,
        };
        if self.context.is_draining() && waiting == Waiting::FirstBytes {
            timeout = timeout.min(DRAIN_QUIET);
        }
        ready!(self.deadline.poll_passed(Some(timeout), None, cx));
        self.state = State::Done;
        Poll::Ready(())
    }

    /// Adds what the connection does to the snapshot that is being taken.
    #[cold]
    fn report(&self) {
        let Some(task) = task::current() else { return };
        let state = match self.state {
            State::Unclaimed(_) => ConnectionState::Idle,
            State::Handshaking(..) => ConnectionState::Handshaking,
            State::Detecting(..) => ConnectionState::ReadingHead,
            State::Done => ConnectionState::Closing,
        };
        self.context.add_to_snapshot(ConnectionInfo {
            task: task.label.id(),
            peer: self.peer,
            state,
            route: None,
            lasted: time::now().saturating_duration_since(self.taken.accepted),
        });
    }

    /// Returns `true` if the connection is to be closed, and nothing was read of it.
    #[cold]
    fn is_shed(&self) -> bool {
        let Some(id) = task::current().map(|task| task.label.id()) else { return false };
        let is_shed = self.context.is_to_close(id) && matches!(self.state, State::Unclaimed(_));
        if is_shed {
            self.context.note_closed(id);
        }
        is_shed
    }
}

impl Future for Opening {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let polled = this.step(cx);
        if polled.is_ready() || !this.context.is_inspecting() {
            return polled;
        }
        if this.context.is_taking_snapshot() {
            this.report();
        }
        if this.is_shed() { Poll::Ready(()) } else { Poll::Pending }
    }
}
