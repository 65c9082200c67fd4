//! The task of one connection: moves bytes between its socket, the protocol and the handlers.
//!
//! One poll reads what is there, answers every complete request in order into the loop's write
//! buffer, and writes once, when there is nothing more to do without waiting. What the socket
//! does not take then is all that the connection keeps.
//!
//! ```text
//!             request                 head of the answer
//!   Reading ───────────► Handling ───────────────────────► Sending
//!      ▲                                                      │ answer over
//!      ├── body read ── Draining ◄── body not read ───────────┤
//!      └──────────────────────────────────────── keep-alive ──┤
//!                                                             │
//!      (closed) ◄────── Lingering ◄────── Closing ◄──── else ─┘
//! ```
//!
//! Deadlines cost nothing while all goes well: what is waited for, and until when, is noted when
//! the task begins to wait; the timer is moved only when it fires and is found to be early.
//!
//! Reading order: this file, with the states and the loop around their steps; `requests`,
//! `answers`, `bodies` and `ending`, with a step for each state; `waiting`, for when no step can be
//! made; `timing` and `watch`, for those who want to know what takes how long.

mod bodies;
mod ending;
mod requests;
mod responses;
mod timing;
mod waiting;
mod watch;

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use brigade_runtime::net::TcpStream;
use brigade_runtime::time::Sleep;
use brigade_runtime::{AcceptedConnection, ConnectionGuard, task, time};

use crate::message::body::PartStream;
use crate::message::pipe::Pipe;
use crate::message::route::Route;
use crate::protocol::error::ProtocolError;
use crate::protocol::server_connection::ServerConnection;
use crate::routing::handler::Running;
use crate::server::activity::{Activity, ConnectionState};
use crate::server::counters::Outcome;
use crate::server::loop_context::LoopServer;
use crate::transport::outgoing::Outgoing;

use watch::Watch;
pub(crate) use watch::WatchedConnection;

/// Requests answered in one poll: a client that pipelines without end lets others have a turn.
const REQUESTS_PER_POLL: u32 = 64;
/// Parts of a body that are read or sent in one poll.
const PARTS_PER_POLL: u32 = 16;

/// The task of one connection.
pub(crate) struct ConnectionTask {
    server: Rc<LoopServer>,
    /// Absent once another protocol has taken it over.
    stream: Option<TcpStream>,
    peer: SocketAddr,
    protocol: ServerConnection,
    outgoing: Outgoing,
    work: Work,
    /// The body of the current request, if it has one.
    body: Option<Rc<Pipe>>,
    /// What is wrong with that body.
    body_error: Option<ProtocolError>,
    /// While a request is in flight, what has become of it so far.
    in_flight: Option<Outcome>,
    waiting: Waiting,
    /// When that began.
    since: Instant,
    /// Fires at the deadline or before it.
    alarm: Option<Sleep>,
    /// Present if somebody wants to know what takes how long.
    watch: Option<Box<Watch>>,
    _place: ConnectionGuard,
}

/// What the connection is doing.
enum Work {
    Reading,
    Handling {
        running: Running,
        route: Option<Rc<Route>>,
    },
    Sending {
        stream: PartStream,
        route: Option<Rc<Route>>,
    },
    /// Reading a body that the handler did not, so that the next request is reached.
    Draining {
        left: u64,
    },
    Closing {
        linger: bool,
    },
    Lingering {
        until: Instant,
    },
    Upgraded {
        protocol: Pin<Box<dyn Future<Output = ()>>>,
    },
}

/// What the connection waits for, as far as it may take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it has just gone on.
    Nothing,
    /// A handler; it may take as long as it likes.
    Handler,
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// More of a body that the handler wants.
    Body,
    /// The rest of a body that nobody wants.
    Drain,
    /// The peer, to take what is written.
    Write,
    /// The peer, to close its side.
    Linger,
}

/// How one step ended.
enum Step {
    /// There may be more to do.
    Again,
    /// Nothing to do before the socket, the handler or the clock says so.
    Wait,
    /// There is more to do, but others are to have their turn first.
    Yield,
}

/// The connection is over, for a reason that needs no more care.
struct Over;

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        tracing::debug!(target: "brigade::http", %error, "a connection broke");
        Self
    }
}

/// How much of a poll is left.
struct Budget {
    requests: u32,
    parts: u32,
}

impl ConnectionTask {
    /// The task of a connection that just came to this loop.
    pub(crate) fn new(server: Rc<LoopServer>, arrival: AcceptedConnection) -> Self {
        let stream = TcpStream::from_nonblocking(arrival.stream);
        server.connection_opened();
        let watch = Watch::begin(server.timed_loop, arrival.accepted, arrival.peer);
        Self {
            server,
            stream: Some(stream),
            peer: arrival.peer,
            protocol: ServerConnection::new(),
            outgoing: Outgoing::default(),
            work: Work::Reading,
            body: None,
            body_error: None,
            in_flight: None,
            waiting: Waiting::Nothing,
            since: time::now(),
            alarm: None,
            watch,
            _place: arrival.place,
        }
    }

    fn stream(&self) -> &TcpStream {
        self.stream.as_ref().expect("nothing is read or written after the upgrade")
    }

    /// A request was read: it is in flight until [`end_request`](Self::end_request).
    fn begin_request(&mut self) {
        self.in_flight = Some(Outcome::NONE);
        self.server.counters.begin_request();
    }

    /// The answer to the request, if there is one, is complete; or the connection ends before.
    fn end_request(&mut self) {
        if let Some(outcome) = self.in_flight.take() {
            self.server.counters.end_request(outcome);
        }
    }

    /// Inlined, since `poll` is called from two places and this would be left outside of it.
    #[inline(always)]
    fn run(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Result<Poll<()>, Over> {
        let mut budget = Budget { requests: REQUESTS_PER_POLL, parts: PARTS_PER_POLL };
        loop {
            match self.step(cx, out, &mut budget)? {
                Step::Again => {}
                Step::Wait => {
                    if self.wait(cx, out)?.is_pending() {
                        return Ok(Poll::Pending);
                    }
                }
                Step::Yield => {
                    self.write(out)?;
                    cx.waker().wake_by_ref();
                    return Ok(Poll::Pending);
                }
            }
        }
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        match &mut self.work {
            Work::Reading => self.next_request(cx, out, budget),
            Work::Handling { .. } => self.handle(cx, out, budget),
            Work::Sending { .. } => self.send_body(cx, out, budget),
            Work::Draining { .. } => self.drain(cx, out, budget),
            Work::Closing { linger } => {
                let linger = *linger;
                self.close(out, linger)
            }
            Work::Lingering { .. } => self.linger(cx, budget),
            Work::Upgraded { protocol } => {
                match Self::within(self.watch.as_deref(), || protocol.as_mut().poll(cx)) {
                    Poll::Ready(()) => Err(Over),
                    Poll::Pending => Ok(Step::Wait),
                }
            }
        }
    }
}

/// # Telling
impl ConnectionTask {
    #[cold]
    fn tell_activity(&self) {
        let Some(task) = task::current() else { return };
        let (state, route) = match &self.work {
            _ if !self.outgoing.is_empty() => (ConnectionState::Writing, None),
            Work::Reading if !self.protocol.is_reading_head() => (ConnectionState::Idle, None),
            Work::Reading => (ConnectionState::ReadingHead, None),
            Work::Handling { route, .. } if self.waiting == Waiting::Body => {
                (ConnectionState::ReadingBody, route.as_ref())
            }
            Work::Handling { route, .. } => (ConnectionState::Handling, route.as_ref()),
            Work::Sending { route, .. } => (ConnectionState::Sending, route.as_ref()),
            Work::Draining { .. } | Work::Closing { .. } | Work::Lingering { .. } => {
                (ConnectionState::Closing, None)
            }
            Work::Upgraded { .. } => (ConnectionState::Upgraded, None),
        };
        self.server.count(Activity {
            task: task.label.id(),
            peer: self.peer,
            state,
            route: route.map(|route| route.pattern.to_string()),
            lasted: time::now().saturating_duration_since(self.since),
        });
    }
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.server.keep_date();
        let mut out = this.server.take_write_buffer();
        let ran = this.run(cx, &mut out);
        this.server.give_write_buffer(out);
        if this.server.is_taking_snapshot() && ran.is_ok() {
            this.tell_activity();
        }
        match ran {
            Ok(poll) => poll,
            Err(Over) => Poll::Ready(()),
        }
    }
}

fn detaches_on_disconnect(route: Option<&Rc<Route>>) -> bool {
    route.is_some_and(|route| route.options.detaches_on_disconnect)
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        if let Some(body) = &self.body {
            body.leave();
        }
        if let Some(watch) = self.watch.take() {
            watch.end(mem::replace(&mut self.work, Work::Reading));
        }
        self.end_request();
        self.server.connection_closed();
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;
    use crate::message::parts::Parts;
    use crate::message::request::Request;
    use crate::message::response::Response;

    /// What each connection holds, idle or not, and what a request adds. Bounds, to be lowered
    /// with what they hold: whoever raises one says in the commit what is bought with it.
    #[test]
    fn connections_and_requests_stay_small() {
        let sizes = [
            ("ConnectionTask", size_of::<ConnectionTask>(), 320),
            ("Work", size_of::<Work>(), 32),
            ("Running", size_of::<Running>(), 16),
            ("Parts", size_of::<Parts>(), 192),
            ("Request", size_of::<Request>(), 8),
            ("Response", size_of::<Response>(), 160),
        ];
        for (name, bytes, most) in sizes {
            println!("{name}: {bytes} bytes of {most}");
            assert!(bytes <= most, "{name} has {bytes} bytes, {most} are allowed");
        }
    }
}
