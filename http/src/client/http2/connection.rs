//! A connection of HTTP/2: what its requests share, and the task that moves its frames.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use brigade_runtime::local::Notify;
use brigade_runtime::net::SendIo;
use brigade_runtime::{task, time};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use crate::client::http2::errors;
use crate::client::options::Options;
use crate::message::byte_stream::ByteStream;
use crate::message::client_error::{ClientErrorKind, TimeoutKind};
use crate::protocol::limits::Limits;
use crate::transport::deadline::Deadline;
use crate::transport::http2::frames::Sender;
use crate::transport::http2::pings::{PingDue, Pings};
use crate::transport::http2::socket::{Seen, Socket};

/// How much of a response the server may send before the caller has read it. Enough for 80 Mbit/s
/// over a distance of 100 ms.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same for all responses of a connection: 16 that are not read stop the others, 15 do not.
const CONNECTION_WINDOW_BYTES: u32 = 16 * STREAM_WINDOW_BYTES;
/// How much of a request's body may be queued before it is no longer polled: enough to keep a fast
/// connection busy.
pub(super) const SEND_BUFFER_BYTES_MAX: usize = 400 * 1024;
/// How many streams are opened before the server has said how many it allows: the number that RFC
/// 9113 section 6.5.2 recommends it to allow at least.
const STREAMS_AT_FIRST: usize = 100;
/// How many frames that ask for nothing the server may send, beyond those that requests earn and a
/// hundred a second: as many as a client may send to our server.
const CONTROL_FRAMES_MAX: u32 = 1000;
/// After how much silence a server that is waited for is sent a `PING`. Less than the 30 s after
/// which some middleboxes forget a connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the server may take to acknowledge it.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How many streams that were reset are remembered: as many as a server may allow that allows many.
/// What still arrives on one that is forgotten is an error, and h2 ends the connection after 1,024
/// of them. That limit stays, since only control frames are counted here.
const RESET_STREAMS_MAX: usize = 4096;
/// For how long they are remembered: as long as most servers take to see the reset, and to stop.
const RESET_STREAM_DURATION: Duration = Duration::from_secs(30);
/// What HTTP/2 adds to the size of a header when it counts it (RFC 9113 section 6.5.2).
const HEADER_OVERHEAD_BYTES: u32 = 32;

/// The name of the tasks of connections.
const TASK_NAME: &str = "HTTP/2 client connection";

/// What the requests of a connection share.
pub(super) struct Connection {
    /// Begins requests. Absent once no more are to be begun: then the connection is closed after
    /// the last one.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    /// Absent once the task has ended.
    socket: RefCell<Option<Socket>>,
    /// The number of requests in progress.
    open: Cell<usize>,
    /// When the last request ended.
    idle_since: Cell<Instant>,
    /// Wakes the requests that wait until the server allows another stream.
    stream_freed: Notify,
    /// Why the task has ended, unless h2 knows.
    end: Cell<Option<End>>,
    /// Wakes the connection's task.
    waker: RefCell<Option<Waker>>,
}

/// A new connection that is not idle, although its first request may not have begun.
pub(super) struct Held(pub(super) Rc<Connection>);

impl Held {
    fn new(connection: Rc<Connection>) -> Self {
        connection.open.update(|open| open + 1);
        Self(connection)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Why a connection has ended before h2 ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The server has accepted nothing for this long.
    Blocked(Duration),
    /// The server accepts fewer bytes a second than this.
    TooSlow(u32),
    /// The server has not acknowledged a `PING`.
    Silent,
}

impl Connection {
    /// Starts a connection over a stream that is for HTTP/2, in a task of its own.
    pub(super) async fn start(
        stream: ByteStream,
        options: &Options,
    ) -> Result<Held, ClientErrorKind> {
        let (peer, rate) = (Sender::Server, options.body_rate);
        let socket = Socket::new(stream, Bytes::new(), peer, CONTROL_FRAMES_MAX, rate);
        let io = SendIo::new(socket.clone());
        let handshake = builder(&options.limits).handshake(io).await;
        let (sender, mut h2) = handshake.map_err(|error| errors::kind_of(error).0)?;
        let connection = Rc::new(Self::new(Some(sender), Some(socket)));
        let pings = Pings::new(h2.ping_pong(), PING_INTERVAL, PING_TIMEOUT);
        let driver = Driver {
            h2,
            connection: connection.clone(),
            pings,
            idle_timeout: options.idle_timeout,
            write_timeout: options.write_timeout,
            body_rate: options.body_rate,
            deadline: Deadline::new(),
        };
        task::Builder::new().name(TASK_NAME).spawn(driver).detach();
        Ok(Held::new(connection))
    }

    /// Returns a handle to send a request with, once the server allows another stream. `None` if no
    /// more can be sent. The request has to be begun before the next await.
    ///
    /// Requests that wait are woken in the order in which they began to. None is promised a stream:
    /// one that is not polled would keep it from the others.
    ///
    /// h2 would keep requests until they are allowed. But it sends also those that were given up
    /// meanwhile, so that their servers may act on them.
    pub(super) async fn sender_when_allowed(&self) -> Option<SendRequest<Bytes>> {
        loop {
            let sender = self.sender()?;
            if self.has_room(&sender) {
                return Some(sender);
            }
            self.stream_freed.notified().await;
        }
    }

    /// Returns `true` if the server allows another stream.
    fn has_room(&self, sender: &SendRequest<Bytes>) -> bool {
        // A response that is complete holds no stream, also if it has not been read.
        let open = self.seen(|seen| seen.requests_open()).unwrap_or(0);
        open < sender.current_max_send_streams()
    }

    /// Wakes the requests that wait for a stream, unless they have to wait on.
    fn wake_waiting(&self) {
        let has_room = |sender: &SendRequest<Bytes>| self.has_room(sender);
        if !self.is_usable() || self.sender.borrow().as_ref().is_none_or(has_room) {
            self.stream_freed.notify_waiters();
        }
    }

    /// Returns a handle to send a request with, unless no more can be sent.
    fn sender(&self) -> Option<SendRequest<Bytes>> {
        self.is_usable().then(|| self.sender.borrow().clone()).flatten()
    }

    /// Returns `true` if requests can be begun. The server may have sent a `GOAWAY`, or the
    /// connection may have ended.
    pub(super) fn is_usable(&self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut sender = self.sender.borrow_mut();
        // It is never pending, since no stream waits to be opened.
        sender.as_mut().is_some_and(|sender| matches!(sender.poll_ready(cx), Poll::Ready(Ok(()))))
    }

    /// Returns `true` if there are no requests, and some can be begun.
    pub(super) fn is_idle(&self) -> bool {
        self.open.get() == 0 && self.is_usable()
    }

    /// Counts a request on this stream.
    pub(super) fn enter(&self, stream: u32) {
        self.open.update(|open| open + 1);
        self.seen(|seen| seen.begin_request(stream));
    }

    /// Counts the end of a request on this stream.
    pub(super) fn leave(&self, stream: u32) {
        self.seen(|seen| seen.end_request(stream));
        self.release();
    }

    /// Counts the end of a request.
    fn release(&self) {
        self.open.update(|open| open - 1);
        self.stream_freed.notify_waiters();
        if self.open.get() == 0 {
            self.idle_since.set(time::now());
            self.wake();
        }
    }

    /// Calls `f` with what was seen of the connection, unless its task has ended.
    fn seen<R>(&self, f: impl FnOnce(&mut Seen) -> R) -> Option<R> {
        self.socket.borrow().as_ref().map(|socket| f(&mut socket.shared().seen))
    }

    /// Begins no more requests, and closes the connection after the last one.
    pub(super) fn retire(&self) {
        // Bound to a name, so that it is dropped after the borrow has ended.
        let _sender = self.sender.take();
        self.stream_freed.notify_waiters();
        self.wake();
    }

    /// Retires the connection if the server has sent nothing since then: it may have gone.
    pub(super) fn suspect(&self, since: Instant) {
        if self.seen(|seen| seen.received_at).is_none_or(|at| at < since) {
            self.retire();
        }
    }

    /// Wakes the task.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Returns why the connection has ended, unless h2 knows.
    pub(super) fn end(&self) -> Option<ClientErrorKind> {
        Some(match self.end.get()? {
            End::Blocked(limit) => ClientErrorKind::Timeout(TimeoutKind::Write, limit),
            End::TooSlow(rate) => ClientErrorKind::TooSlow(rate),
            End::Silent => {
                let text = format!("the server has not answered a PING within {PING_TIMEOUT:?}");
                ClientErrorKind::Broken(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        })
    }

    /// Returns when the last request has ended.
    pub(super) const fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    /// Returns a connection that has ended.
    #[cfg(test)]
    pub(super) fn ended() -> Self {
        Self::new(None, None)
    }

    fn new(sender: Option<SendRequest<Bytes>>, socket: Option<Socket>) -> Self {
        Self {
            sender: RefCell::new(sender),
            socket: RefCell::new(socket),
            open: Cell::new(0),
            stream_freed: Notify::new(),
            idle_since: Cell::new(time::now()),
            end: Cell::new(None),
            waker: RefCell::default(),
        }
    }

    fn register(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("open", &self.open).finish_non_exhaustive()
    }
}

/// Returns the settings of a connection.
fn builder(limits: &Limits) -> Builder {
    // Heads are decoded as those of HTTP/1.1 are, within the same limits. For one that is larger
    // than is announced, h2 has no error of its own: so twice as much is.
    let overhead = HEADER_OVERHEAD_BYTES * u32::from(limits.headers_count_max);
    let header_list_bytes_max = 2 * u32::from(limits.head_bytes_max) + overhead;
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(header_list_bytes_max)
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .reset_stream_duration(RESET_STREAM_DURATION)
        .initial_max_send_streams(STREAMS_AT_FIRST);
    builder
}

/// The task of a connection. It ends when the server closes the connection, or breaks the protocol,
/// and when the last request of a retired connection has ended. Dropping it closes the connection.
struct Driver {
    h2: h2::client::Connection<SendIo<Socket>, Bytes>,
    connection: Rc<Connection>,
    pings: Pings,
    idle_timeout: Duration,
    write_timeout: Duration,
    body_rate: u32,
    deadline: Deadline<()>,
}

/// What is to be done at a deadline.
#[derive(Clone, Copy)]
enum Due {
    Retire,
    Ping,
    End(End),
}

impl Driver {
    /// Returns the next deadline, and what is to be done then.
    fn next_deadline(&self) -> Option<(Instant, Due)> {
        let connection = &self.connection;
        let socket = connection.socket.borrow();
        let seen = &socket.as_ref()?.shared().seen;
        let is_retired = connection.sender.borrow().is_none();
        let has_requests = connection.open.get() > 0;
        let idle = (!has_requests && !is_retired)
            .then(|| connection.idle_since.get().checked_add(self.idle_timeout));
        let silent = seen.blocked_since.and_then(|since| since.checked_add(self.write_timeout));
        let blocked = seen.write_deadline(self.write_timeout).map(|at| match Some(at) == silent {
            true => (at, Due::End(End::Blocked(self.write_timeout))),
            false => (at, Due::End(End::TooSlow(self.body_rate))),
        });
        let ping = has_requests.then(|| self.pings.next(seen.received_at)).flatten();
        let ping = ping.map(|(at, due)| match due {
            PingDue::Send => (at, Due::Ping),
            PingDue::Lost => (at, Due::End(End::Silent)),
        });
        let deadlines = [idle.flatten().map(|at| (at, Due::Retire)), blocked, ping];
        deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Ready when something is due. Arranges to be woken at the next deadline.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        let Some((at, due)) = self.next_deadline() else { return Poll::Pending };
        self.deadline.poll_passed(None, Some(at), cx).map(|()| due)
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            self.pings.poll_pong(cx);
            if let Poll::Ready(ended) = Pin::new(&mut self.h2).poll(cx) {
                return Poll::Ready(ended);
            }
            // The server may have ended a response, changed its limit, or sent a `GOAWAY`.
            self.connection.wake_waiting();
            match ready!(self.poll_due(cx)) {
                Due::Retire => self.connection.retire(),
                Due::Ping => self.pings.send(),
                Due::End(end) => {
                    self.connection.end.set(Some(end));
                    if let Some(socket) = &*self.connection.socket.borrow() {
                        // Otherwise the system would keep what was written for a server that does
                        // not take it.
                        socket.shared().stream.reset();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.connection.register(cx.waker());
        let ended = ready!(this.run(cx));
        if let Err(error) = ended {
            tracing::debug!(target: "brigade::http", %error, "connection of HTTP/2 failed");
        }
        Poll::Ready(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The socket closes with h2's part. Requests learn from that of the end.
        let _closed = (self.connection.sender.take(), self.connection.socket.take());
        self.connection.stream_freed.notify_waiters();
    }
}
