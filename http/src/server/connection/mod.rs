//! The task of one connection: moves bytes between its socket, the protocol and the handlers.
//!
//! One poll reads what is there, appends the responses to all complete requests to the loop's
//! write buffer, in order, and writes once, when nothing more can be done without waiting. The
//! bytes that the socket did not take then are all that the connection keeps. Each request, and
//! each part of a body, takes a unit of the task's budget. Every poll ends with a look at the
//! clock, also one that ends because the budget is spent.
//!
//! ```text
//!               head                 head of the response
//!   Reading ───────────► Handling ───────────────────────► Sending
//!      ▲                                                      │ response complete
//!      ├─ body read ── Discarding ◄── body not read ──────────┤
//!      └──────────────────────────────────────── keep-alive ──┤
//!                                                             │
//!       (done) ◄─────── Lingering ◄────── Closing ◄──── else ─┘
//! ```
//!
//! A step takes the state by value and puts the next one in its place. Between a step's beginning
//! and its end, and after the last one, the state is `Done`.
//!
//! Reading order: this file, with the states and the loop around their steps; `requests`,
//! `responses`, `bodies` and `ending`, with the step of each state; `waiting`, for a connection
//! that can do nothing now; `stream`, for its socket; `upgraded`, for what is left of it when
//! another protocol has the socket; `timing`, `observed`, `watch` and `watched`,
//! for spans, the `Server-Timing` header and the end of responses.

mod bodies;
mod ending;
mod observed;
mod requests;
mod responses;
mod stream;
pub(super) mod timing;
mod upgraded;
mod waiting;
mod watch;
pub(super) mod watched;

use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use brigade_runtime::net::PeerAddr;
use brigade_runtime::server::{AcceptedConnection, ConnectionGuard};
use brigade_runtime::task;
use brigade_runtime::task::TaskId;

use crate::message::byte_stream::ByteStream;
use crate::message::file_error::FileError;
use crate::message::part::PartStream;
use crate::message::pipe::Pipe;
use crate::message::route::Route;
use crate::protocol::error::ProtocolError;
use crate::protocol::server_connection::ServerConnection;
use crate::routing::endpoint::Running;
use crate::server::activity::{ConnectionInfo, ConnectionState};
use crate::server::connection::timing::Taken;
use crate::server::counters::Outcome;
use crate::server::loop_context::LoopContext;
use crate::transport::deadline::Deadline;
use crate::transport::outgoing::Outgoing;
use crate::transport::pace::Pace;

use stream::Stream;
use upgraded::UpgradedConnection;
use watch::Watch;

/// Why there is a stream to read from and to write to.
const HAS_STREAM: &str = "nothing is read or written before the claim and after the upgrade";

/// The task of one connection.
pub(crate) struct ConnectionTask {
    server: Rc<LoopContext>,
    peer: PeerAddr,
    protocol: ServerConnection,
    outgoing: Outgoing,
    state: State,
    /// Empty between the end of a response and the next request's head.
    request: InFlight,
    deadline: Deadline<Waiting>,
    /// How fast the client takes what is written.
    pace: Pace,
    /// Present if there is a subscriber for spans, or responses get a `Server-Timing` header.
    watch: Option<Box<Watch>>,
    /// Declared last: the connection counts as open until everything else was dropped.
    stream: Stream,
}

/// What the connection is doing.
enum State {
    /// Waiting for a request's head, or reading it.
    Reading,
    /// Waiting for the handler's response.
    Handling(Running),
    /// Sending a streamed body.
    Sending(PartStream),
    /// Reading the body that the handler did not, to reach the next request.
    Discarding { bytes_left: u64 },
    /// Writing the end of the last response.
    Closing { linger: bool },
    /// Waiting for the peer to close its side.
    Lingering { until: Instant, bytes_left: u32 },
    /// Running another protocol: in this task only if it is not one of a server's.
    Upgraded(Box<UpgradedConnection>),
    /// Ended, or within a step.
    Done,
}

/// How a step ended.
enum Step {
    /// There may be more to do.
    Again,
    /// There is nothing to do until the task is woken: by the socket, the handler or the clock, or
    /// at once, because its budget for this poll is spent.
    Wait,
    /// The connection has ended.
    Done,
}

/// A request whose response is not complete.
#[derive(Default)]
struct InFlight {
    /// The status of the response, as far as it is known. Present until the end is counted.
    outcome: Option<Outcome>,
    /// Absent if the request has no body and its handler cannot notice a disconnect.
    body: Option<Rc<Pipe>>,
    /// The error that ended the body.
    body_error: Option<ProtocolError>,
    /// Set when the request's first step is over. Most requests do not outlive it.
    route: Option<Rc<Route>>,
}

/// What the connection waits for, if that has a timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it has just made progress.
    #[default]
    Nothing,
    /// A handler, which has no timeout.
    Handler,
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// More of a body that the handler wants.
    Body,
    /// The rest of a body that is discarded.
    Discard,
    /// The peer, to take what was written.
    Write,
    /// The peer, to close its side.
    Linger,
}

/// What one poll works with.
struct PollContext<'poll, 'task> {
    task: &'poll mut Context<'task>,
    server: &'poll LoopContext,
    /// The loop's write buffer.
    out: Vec<u8>,
}

impl ConnectionTask {
    /// Returns the task of a connection that was given to this loop.
    pub(crate) fn new(server: Rc<LoopContext>, accepted: AcceptedConnection) -> Self {
        let taken = server.timed_loop.map(|_| Taken::now(accepted.accepted));
        let peer = accepted.peer;
        Self::of(server, peer, taken, Stream::Unclaimed(accepted.into_unclaimed()))
    }

    /// Returns the task of a connection that no acceptor knows, or that is claimed already. It
    /// counts as open for as long as `guard` exists. Without `taken`, responses get no
    /// `Server-Timing` header.
    pub(crate) fn over(
        server: Rc<LoopContext>,
        peer: PeerAddr,
        taken: Option<Taken>,
        stream: ByteStream,
        guard: Option<ConnectionGuard>,
    ) -> Self {
        Self::of(server, peer, taken, Stream::Claimed(stream, guard))
    }

    /// Adds bytes that were read from the connection.
    pub(crate) fn with_received(mut self, received: &[u8]) -> Self {
        self.protocol.receive(received);
        self
    }

    fn of(server: Rc<LoopContext>, peer: PeerAddr, taken: Option<Taken>, stream: Stream) -> Self {
        let watch = Watch::new(server.timed_loop, taken, peer);
        Self {
            server,
            peer,
            protocol: ServerConnection::new(),
            outgoing: Outgoing::default(),
            state: State::Reading,
            request: InFlight::default(),
            deadline: Deadline::new(),
            pace: Pace::default(),
            watch,
            stream,
        }
    }

    fn stream(&self) -> &ByteStream {
        self.stream.claimed().expect(HAS_STREAM)
    }

    fn route(&self) -> Option<&Route> {
        self.request.route.as_deref()
    }

    /// Counts the end of the request in flight, if there is one and its end was not counted.
    #[inline(always)]
    fn count_request_end(&mut self) {
        if let Some(outcome) = self.request.outcome.take() {
            self.server.counters.end_request(outcome);
        }
    }

    /// Goes to `state`, which is the last act of a step.
    #[inline(always)]
    fn enter(&mut self, state: State, step: Step) -> io::Result<Step> {
        self.replace_state(state);
        Ok(step)
    }

    /// Puts `state` in the place of one that owns nothing. An assignment would look, at each
    /// request, at what there is to drop.
    #[inline(always)]
    fn replace_state(&mut self, state: State) {
        let before = mem::replace(&mut self.state, state);
        debug_assert!(
            !matches!(before, State::Handling(_) | State::Sending(_) | State::Upgraded(_)),
            "a step takes a state that owns something before it puts another in its place"
        );
        mem::forget(before);
    }

    /// Makes steps until the connection has to wait or has ended.
    ///
    /// Inlined, since `poll` is called from two places and this would be left outside of it.
    #[inline(always)]
    fn run(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Poll<()>> {
        loop {
            let step = match self.step(cx)? {
                Step::Wait => self.wait(cx)?,
                step => step,
            };
            match step {
                Step::Again => {}
                Step::Wait => return Ok(Poll::Pending),
                Step::Done => return Ok(Poll::Ready(())),
            }
        }
    }

    #[inline(always)]
    fn step(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        if matches!(self.state, State::Reading) {
            // The usual state owns nothing that would have to be moved.
            self.replace_state(State::Done);
            return self.read_request(cx);
        }
        match mem::replace(&mut self.state, State::Done) {
            State::Reading | State::Done => Ok(Step::Done),
            State::Handling(running) => self.resume_handler(running, cx),
            State::Sending(stream) => self.send_body(stream, cx),
            State::Discarding { bytes_left } => self.discard_body(bytes_left, cx),
            State::Closing { linger } => self.close(linger, cx),
            State::Lingering { until, bytes_left } => self.linger(until, bytes_left, cx),
            State::Upgraded(mut upgraded) => match upgraded.poll_protocol(cx.task) {
                Poll::Ready(()) => Ok(Step::Done),
                Poll::Pending => self.enter(State::Upgraded(upgraded), Step::Wait),
            },
        }
    }

    /// Makes closing the socket reset the connection if the client could not tell otherwise that a
    /// response is incomplete, or what was written last would be kept for a client that does not
    /// take it.
    fn reset_if_incomplete(&self) {
        let is_cut = self.protocol.ends_body_by_closing() || !self.outgoing.is_empty();
        if let Some(stream) = self.stream.claimed().filter(|_| is_cut) {
            stream.reset();
        }
    }

    /// Logs the error that ends the connection. That of a file which the system was copying from is
    /// not the client's.
    #[cold]
    fn note_failure(&self, error: &io::Error) {
        match FileError::of(error) {
            Some(error) => self.note_failed_body(error),
            None => {
                let peer = self.peer;
                tracing::debug!(target: "brigade::http", %peer, %error, "connection failed");
            }
        }
    }

    /// Reports what the connection does, or ends it if it is idle and to be closed.
    #[cold]
    fn inspect(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(task) = task::current() else { return Poll::Pending };
        let id = task.label.id();
        if self.server.is_taking_snapshot() {
            self.report_activity(id);
        }
        if !self.server.is_to_close(id) || !self.is_idle() {
            return Poll::Pending;
        }
        // A request may have arrived that the selector has not reported yet.
        if matches!(self.has_read(), Ok(true)) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.server.note_closed(id);
        Poll::Ready(())
    }

    /// Returns `true` if the connection waits for a request.
    fn is_idle(&self) -> bool {
        matches!(self.state, State::Reading)
            && self.protocol.needs_data()
            && self.outgoing.is_empty()
    }

    /// Adds what the connection does to the snapshot that is being taken.
    fn report_activity(&self, task: TaskId) {
        let is_handled = matches!(self.state, State::Handling(_) | State::Sending(_));
        let state = match &self.state {
            _ if !self.outgoing.is_empty() => ConnectionState::Writing,
            State::Reading if !self.protocol.is_reading_head() => ConnectionState::Idle,
            State::Reading => ConnectionState::ReadingHead,
            State::Handling(_) if self.deadline.waiting() == Waiting::Body => {
                ConnectionState::ReadingBody
            }
            State::Handling(_) => ConnectionState::Handling,
            State::Sending(_) => ConnectionState::Sending,
            State::Discarding { .. }
            | State::Closing { .. }
            | State::Lingering { .. }
            | State::Done => ConnectionState::Closing,
            State::Upgraded(_) => ConnectionState::Upgraded,
        };
        let route = self.route().filter(|_| is_handled && self.outgoing.is_empty());
        self.server.add_to_snapshot(ConnectionInfo {
            task,
            peer: self.peer,
            state,
            route: route.map(|route| route.pattern.to_string()),
            lasted: self.deadline.waited(),
        });
    }
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let server = this.server.clone();
        server.renew_date();
        let out = server.buffers.take_write_buffer();
        let mut cx = PollContext { task: cx, server: &server, out };
        let polled = this.run(&mut cx);
        server.buffers.give_write_buffer(cx.out);
        match polled {
            Ok(Poll::Ready(())) => Poll::Ready(()),
            Ok(Poll::Pending) if server.is_inspecting() => this.inspect(cx.task),
            Ok(Poll::Pending) => Poll::Pending,
            Err(error) => {
                this.note_failure(&error);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.reset_if_incomplete();
        let state = mem::replace(&mut self.state, State::Done);
        if let Some(body) = &self.request.body {
            body.leave();
        }
        match self.watch.take() {
            Some(watch) => watch.end(state),
            None => drop(state),
        }
        self.count_request_end();
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;
    use crate::message::parts::Parts;
    use crate::message::request::Request;
    use crate::message::response::Response;

    /// What each connection holds, idle or not, and what a request adds. The bounds are to be
    /// lowered with what they hold. A commit that raises one says what that buys.
    #[test]
    fn connections_and_requests_stay_small() {
        let sizes = [
            ("ConnectionTask", size_of::<ConnectionTask>(), 336),
            ("UpgradedConnection", size_of::<UpgradedConnection>(), 112),
            ("State", size_of::<State>(), 32),
            ("Running", size_of::<Running>(), 16),
            ("Parts", size_of::<Parts>(), 216),
            ("Request", size_of::<Request>(), 8),
            ("Response", size_of::<Response>(), 160),
        ];
        for (name, bytes, most) in sizes {
            println!("{name}: {bytes} bytes of {most}");
            assert!(bytes <= most, "{name} has {bytes} bytes, {most} are allowed");
        }
    }
}
