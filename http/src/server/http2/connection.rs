//! A connection of HTTP/2: polls h2, begins the streams, and watches the clock, the drain and the
//! inspections.
//!
//! ```text
//!   Starting ──► Serving ──► Ending ──► Leaving ──► (done)
//!       │                      ▲
//!       └──────────────────────┘
//! ```
//!
//! h2 ends by itself when the client has closed, after an error of the protocol, and during a drain
//! once the streams are complete. Deadlines end it from here, with a `GOAWAY` if one can be sent.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use brigade_runtime::net::{PeerAddr, SendIo};
use brigade_runtime::{LoopHandle, task, time};
use bytes::Bytes;
use h2::server::{Connection as Http2, Handshake};
use tracing::debug_span;

use crate::message::byte_stream::ByteStream;
use crate::server::activity::{ConnectionInfo, ConnectionState};
use crate::server::connection::timing::Taken;
use crate::server::http2::ending::Ending;
use crate::server::http2::shared::Connection;
use crate::server::http2::stream::Exchange;
use crate::server::loop_context::LoopContext;
use crate::transport::deadline::Deadline;
use crate::transport::http2::frames::Sender;
use crate::transport::http2::pings::{PingDue, Pings};
use crate::transport::http2::socket::Socket;

/// When the server shuts down, a connection without streams that has been quiet for this long is
/// closed, even if the client does not acknowledge the `GOAWAY`.
const DRAIN_QUIET: Duration = Duration::from_millis(250);

/// The codes of errors that end a connection (RFC 9113 section 7).
const NO_ERROR: u32 = 0x0;
const SETTINGS_TIMEOUT: u32 = 0x4;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The future of a connection. Dropping it closes the connection and cancels its handlers.
pub(super) struct Http2Connection {
    connection: Rc<Connection>,
    state: State,
    socket: Socket,
    /// When the connection began.
    began: Instant,
    /// h2 knows of the drain.
    is_going_away: bool,
    deadline: Deadline<()>,
}

/// What the connection is doing.
enum State {
    /// h2 sends its settings, and receives the preface.
    Starting(Box<Handshake<SendIo<Socket>, Bytes>>),
    /// h2 reads and writes frames.
    Serving(Box<Serving>),
    /// The last frames are written.
    Ending(Ending),
    /// Waiting for handlers that run on after their client has gone.
    Leaving,
}

/// A connection after its start.
struct Serving {
    http2: Http2<SendIo<Socket>, Bytes>,
    pings: Pings,
    /// How many of the streams that the client has opened were accepted, or will not be returned by
    /// the next poll of h2.
    accepted: u64,
}

/// What is to be done at a deadline.
#[derive(Clone, Copy)]
enum Due {
    Ping,
    End(End),
}

/// How a connection ends before h2 ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With a `GOAWAY` of this code. The client may take its time to read it.
    GoAway(u32),
    /// With a `GOAWAY`, and at once: its descriptor is needed.
    Shed,
    /// At once: the client takes nothing.
    Cut,
}

impl Http2Connection {
    pub(super) fn new(
        stream: ByteStream,
        early: Bytes,
        context: Rc<LoopContext>,
        peer: PeerAddr,
        taken: Taken,
    ) -> Self {
        let span = debug_span!(
            target: "brigade::http",
            "connection",
            client.address = peer.ip().map(display),
            client.port = peer.tcp().map(|address| address.port()),
            event_loop = LoopHandle::current().name(),
        );
        let options = context.http2.clone();
        let rate = context.timeouts.write_bytes_per_second_min;
        let description = stream.description();
        let socket = Socket::new(stream, early, Sender::Client, options.control_frames_max, rate);
        let connection = Connection::new(context, peer, description, span, taken);
        let handshake = options.builder().handshake(SendIo::new(socket.clone()));
        Self {
            connection,
            state: State::Starting(Box::new(handshake)),
            socket,
            began: time::now(),
            is_going_away: false,
            deadline: Deadline::new(),
        }
    }

    /// Ready when the connection has ended.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Starting(handshake) => match Pin::new(handshake).poll(cx) {
                    Poll::Ready(Ok(http2)) => self.begin_serving(http2),
                    Poll::Ready(Err(error)) => self.end_served(Err(error)),
                    Poll::Pending => ready!(self.poll_due(cx)),
                },
                State::Serving(serving) => {
                    if self.connection.context.is_draining() && !self.is_going_away {
                        self.is_going_away = true;
                        serving.http2.graceful_shutdown();
                    }
                    match serving.poll(&self.connection, &self.socket, cx) {
                        Poll::Ready(result) => self.end_served(result),
                        Poll::Pending => ready!(self.poll_due(cx)),
                    }
                }
                State::Ending(ending) => {
                    ready!(ending.poll(&self.socket, &self.connection.context, cx));
                    self.state = State::Leaving;
                }
                State::Leaving if self.connection.open() > 0 => return Poll::Pending,
                State::Leaving => return Poll::Ready(()),
            }
        }
    }

    fn begin_serving(&mut self, mut http2: Http2<SendIo<Socket>, Bytes>) {
        let options = &self.connection.context.http2;
        let pings = Pings::new(http2.ping_pong(), options.ping_interval, options.ping_timeout);
        self.state = State::Serving(Box::new(Serving { http2, pings, accepted: 0 }));
    }

    /// Ends a connection that h2 has ended.
    fn end_served(&mut self, result: Result<(), h2::Error>) {
        let (is_flooded, frames) = {
            let seen = &self.socket.shared().seen;
            (seen.is_flooded, seen.frames)
        };
        if let Err(error) = result {
            let peer = self.connection.peer;
            tracing::debug!(target: "brigade::http", %peer, %error, frames, "connection failed");
        }
        let go_away = is_flooded.then_some(ENHANCE_YOUR_CALM);
        self.begin_ending(go_away, true);
    }

    /// Ends the connection. Its streams are cancelled.
    fn end(&mut self, end: End) {
        let (peer, frames) = (self.connection.peer, self.socket.shared().seen.frames);
        tracing::debug!(target: "brigade::http", %peer, ?end, frames, "connection ended");
        match end {
            End::GoAway(code) => self.begin_ending(Some(code), true),
            End::Shed => self.begin_ending(Some(NO_ERROR), false),
            End::Cut => {
                // Otherwise the system would keep what was written for a client that does not
                // take it.
                self.socket.shared().stream.reset();
                self.state = State::Leaving;
            }
        }
    }

    fn begin_ending(&mut self, go_away: Option<u32>, linger: bool) {
        let (is_between, last_stream) = {
            let seen = &self.socket.shared().seen;
            (seen.is_between_sent_frames(), seen.last_stream)
        };
        self.socket.shared().corked = None;
        // Within another frame it would be taken for a part of that.
        let go_away = go_away.filter(|_| is_between).map(|code| (last_stream, code));
        let state = State::Ending(Ending::new(go_away, linger));
        // h2's part is dropped here, which resets the streams.
        drop(mem::replace(&mut self.state, state));
    }

    /// Ready when what was due at a deadline has been done. Arranges to be woken at the next one.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((deadline, due)) = self.next_deadline() else { return Poll::Pending };
        ready!(self.deadline.poll_passed(None, Some(deadline), cx));
        match (due, &mut self.state) {
            (Due::End(end), _) => self.end(end),
            (Due::Ping, State::Serving(serving)) => serving.pings.send(),
            (Due::Ping, _) => {}
        }
        Poll::Ready(())
    }

    /// Returns the next deadline, and what is to be done then.
    fn next_deadline(&self) -> Option<(Instant, Due)> {
        let context = &self.connection.context;
        let (timeouts, shared) = (&context.timeouts, self.socket.shared());
        let seen = &shared.seen;
        let after = |since: Option<Instant>, timeout| since.and_then(|at| at.checked_add(timeout));
        let began = (!seen.has_settings).then_some(self.began);
        let is_idle = self.connection.open() == 0 && seen.blocked_since.is_none();
        // What h2 has queued of the last responses counts as a stream while it gets out.
        let idle_since = is_idle.then(|| self.connection.changed().max(seen.data_written));
        let keep_alive = match context.is_draining() {
            true => timeouts.keep_alive.min(DRAIN_QUIET),
            false => timeouts.keep_alive,
        };
        let deadlines = [
            (after(began, timeouts.head), End::GoAway(SETTINGS_TIMEOUT)),
            (after(seen.headers_since, timeouts.head), End::GoAway(ENHANCE_YOUR_CALM)),
            (seen.write_deadline(timeouts.write), End::Cut),
            (after(idle_since, keep_alive), End::GoAway(NO_ERROR)),
        ];
        let ends = deadlines.into_iter().filter_map(|(at, end)| Some((at?, Due::End(end))));
        let ping = match &self.state {
            State::Serving(serving) => serving.pings.next(seen.received_at),
            _ => None,
        };
        let ping = ping.map(|(at, due)| match due {
            PingDue::Send => (at, Due::Ping),
            PingDue::Lost => (at, Due::End(End::GoAway(NO_ERROR))),
        });
        ends.chain(ping).min_by_key(|(at, _)| *at)
    }

    /// Describes the connection, or ends it if it is idle and to be closed. Returns `true` if it
    /// ends.
    #[cold]
    fn inspect(&mut self) -> bool {
        let Some(task) = task::current() else { return false };
        let (id, context) = (task.label.id(), self.connection.context.clone());
        if context.is_taking_snapshot() {
            let (state, since) = self.activity();
            context.add_to_snapshot(ConnectionInfo {
                task: id,
                peer: self.connection.peer,
                state,
                route: None,
                lasted: time::now().saturating_duration_since(since),
            });
        }
        let is_idle = self.activity().0 == ConnectionState::Idle;
        if !context.is_to_close(id) || !is_idle {
            return false;
        }
        context.note_closed(id);
        self.end(End::Shed);
        true
    }

    /// Returns what the connection is doing, and since when.
    fn activity(&self) -> (ConnectionState, Instant) {
        let shared = self.socket.shared();
        let (seen, changed) = (&shared.seen, self.connection.changed());
        if matches!(self.state, State::Ending(_) | State::Leaving) {
            return (ConnectionState::Closing, changed);
        }
        if let Some(since) = seen.blocked_since {
            return (ConnectionState::Writing, since);
        }
        match self.connection.open() {
            0 if !seen.has_settings => (ConnectionState::ReadingHead, self.began),
            0 => (ConnectionState::Idle, changed.max(seen.data_written)),
            streams => (ConnectionState::Http2 { streams }, changed),
        }
    }
}

impl Serving {
    /// Begins the streams of the requests that have arrived. Ready when h2 has ended.
    fn poll(
        &mut self,
        connection: &Rc<Connection>,
        socket: &Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), h2::Error>> {
        let quiet = &mut Context::from_waker(Waker::noop());
        self.pings.poll_pong(cx);
        let mut is_last = socket.shared().stream.poll_readable(cx).is_pending();
        loop {
            // As long as requests are there, their responses are collected, and written by the last
            // poll. Until then h2 gets a waker that does nothing, since it would wake the task for
            // each response.
            socket.shared().corked = (!is_last).then(|| cx.waker().clone());
            match self.http2.poll_accept(if is_last { &mut *cx } else { &mut *quiet }) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.accepted += 1;
                    // If it waits it is polled again, in a task of its own.
                    Exchange::new(connection, request, respond).begin(quiet);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if is_last => return Poll::Pending,
                // h2 has refused the other requests, or returns them after a later read.
                Poll::Pending => self.accepted = socket.shared().seen.streams,
            }
            is_last = socket.shared().seen.streams == self.accepted;
        }
    }
}

impl Future for Http2Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let connection = this.connection.clone();
        // Streams that end within this poll need not wake its task.
        let waker = connection.take_waker();
        let polled = connection.span.in_scope(|| {
            if this.run(cx).is_ready() {
                return Poll::Ready(());
            }
            match connection.context.is_inspecting() && this.inspect() {
                true => this.run(cx),
                false => Poll::Pending,
            }
        });
        connection.register(waker, cx);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;

    use brigade_runtime::net::TcpListener;
    use brigade_runtime::{run, spawn_blocking};

    use super::*;
    use crate::routing::method_router::get;
    use crate::routing::router::Router;
    use crate::server::loop_context::Options;
    use crate::server::stats::Stats;
    use crate::transport::http2::preface::PREFACE;

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// `GET /` with `:authority: a`, on stream 1.
    const REQUEST: &[u8] = &[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x01, 0x01, b'a'];

    fn context() -> Rc<LoopContext> {
        let routes = Router::new().route("/", get(std::future::pending::<()>)).into_service();
        let stats = Stats::new(Default::default());
        let counters = stats.register(0);
        Rc::new(LoopContext::new(routes, Options::default(), 0, counters, Some(stats)))
    }

    /// Serves a connection over which `sent` follows the preface, in a task of this name.
    async fn serve(context: &Rc<LoopContext>, name: &'static str, sent: &[u8]) -> net::TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(&[PREFACE, SETTINGS, sent].concat()).unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let stream = ByteStream::Socket(stream.into());
        let (early, context) = (Bytes::new(), context.clone());
        let taken = Taken::now(time::now());
        let connection = Http2Connection::new(stream, early, context, peer.into(), taken);
        task::Builder::new().name(name).spawn(connection).detach();
        client
    }

    #[test]
    fn an_idle_connection_is_closed_and_one_with_a_stream_is_not() {
        run(async {
            let context = context();
            let _busy = serve(&context, "busy", REQUEST).await;
            let mut idle = serve(&context, "idle", &[]).await;
            let named = |name: &str| {
                let all = task::all().into_iter();
                let named = all.filter(|task| task.label.name() == Some(name));
                named.map(|task| task.label.id()).collect::<Vec<_>>()
            };
            while context.counters.in_flight() == 0 {
                time::sleep(Duration::from_millis(1)).await;
            }
            let both = [named("busy"), named("idle")].concat();
            assert_eq!(both.len(), 2);
            while context.close_idle(both.iter().copied()).await == 0 {
                time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!((named("busy").len(), named("idle").len()), (1, 0));
            let received = spawn_blocking(move || {
                let mut received = Vec::new();
                idle.read_to_end(&mut received).map(|_| received)
            });
            let received = received.await.unwrap().unwrap();
            assert!(received.ends_with(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        });
    }
}
