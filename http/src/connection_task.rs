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

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use brigade_runtime::net::TcpStream;
use brigade_runtime::time::{self, Sleep, sleep_until};
use brigade_runtime::{Arrival, Place, task};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::activity::{Activity, ConnectionState};
use crate::body::{BodyError, BodyKind, Part, PartStream, Pipe, RequestBody};
use crate::connection::{Connection, Event};
use crate::error::{EncodeError, ProtocolError};
use crate::extensions::Extensions;
use crate::handler::Running;
use crate::head::RequestHead;
use crate::loop_server::LoopServer;
use crate::outgoing::Outgoing;
use crate::parts::{Parts, PartsBox};
use crate::request::Request;
use crate::response::{IntoResponse, Response};
use crate::router::{Route, RouteOptions};
use crate::upgrade::Upgraded;

/// Requests answered in one poll: a client that pipelines without end lets others have a turn.
const REQUESTS_PER_POLL: u32 = 64;
/// Parts of a body that are read or sent in one poll.
const PARTS_PER_POLL: u32 = 16;
/// Answers are written when so much of them has gathered.
const WRITE_BATCH_BYTES: usize = 64 * 1024;
/// A body, or a part of one, from this length on is written from where it is, uncopied.
const UNCOPIED_BYTES_MIN: usize = 16 * 1024;
/// How long a peer that was sent its last answer is listened to, in all, so that what it still
/// sends does not reset the connection and destroy that answer.
const LINGER: Duration = Duration::from_secs(30);
/// The longest silence of such a peer.
const LINGER_GAP: Duration = Duration::from_secs(5);
/// A body is judged slow only once it was waited for so long, so that a slow start is none.
const BODY_RATE_GRACE: Duration = Duration::from_secs(30);
/// A connection that was quiet for so long when the server shuts down is closed; one that was
/// busy until just now may have a request on its way.
const DRAIN_QUIET: Duration = Duration::from_millis(250);

/// The task of one connection.
pub(crate) struct ConnectionTask {
    server: Rc<LoopServer>,
    /// Absent once another protocol has taken it over.
    stream: Option<TcpStream>,
    peer: SocketAddr,
    protocol: Connection,
    outgoing: Outgoing,
    work: Work,
    /// The body of the current request, if it has one.
    body: Option<Rc<Pipe>>,
    /// What is wrong with that body.
    body_error: Option<ProtocolError>,
    waiting: Waiting,
    /// When that began.
    since: Instant,
    /// Fires at the deadline or before it.
    alarm: Option<Sleep>,
    _place: Place,
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

/// What a read gave.
enum Read {
    Some,
    Nothing,
}

impl ConnectionTask {
    /// The task of a connection that just came to this loop.
    pub(crate) fn new(server: Rc<LoopServer>, arrival: Arrival) -> io::Result<Self> {
        let stream = TcpStream::from_nonblocking(arrival.stream)?;
        server.connection_opened();
        Ok(Self {
            server,
            stream: Some(stream),
            peer: arrival.peer,
            protocol: Connection::new(),
            outgoing: Outgoing::default(),
            work: Work::Reading,
            body: None,
            body_error: None,
            waiting: Waiting::Nothing,
            since: time::now(),
            alarm: None,
            _place: arrival.place,
        })
    }

    fn stream(&self) -> &TcpStream {
        self.stream.as_ref().expect("nothing is read or written after the upgrade")
    }

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
            Work::Draining { .. } => self.drain(cx, budget),
            Work::Closing { linger } => {
                let linger = *linger;
                self.close(out, linger)
            }
            Work::Lingering { .. } => self.linger(cx, budget),
            Work::Upgraded { protocol } => match protocol.as_mut().poll(cx) {
                Poll::Ready(()) => Err(Over),
                Poll::Pending => Ok(Step::Wait),
            },
        }
    }
}

/// # Requests
impl ConnectionTask {
    fn next_request(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        if out.len() + self.outgoing.len() >= WRITE_BATCH_BYTES {
            self.write(out)?;
        }
        if self.outgoing.is_blocked() {
            return Ok(Step::Wait);
        }
        if budget.requests == 0 {
            return Ok(Step::Yield);
        }
        match self.protocol.next_event(&self.server.limits) {
            Event::Request(head) => {
                budget.requests -= 1;
                self.begin(head, out)
            }
            Event::NeedData => match self.read(cx)? {
                Read::Some => Ok(Step::Again),
                Read::Nothing => Ok(Step::Wait),
            },
            Event::Error(error) => self.refuse(error, out),
            Event::Closed => self.go_on(Work::Closing { linger: false }),
            Event::Paused | Event::Body(_) | Event::BodyEnd(_) => {
                unreachable!("between requests nothing of a request is left")
            }
        }
    }

    /// Reads what is there, as far as the selector knows of it.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<Read, Over> {
        if self.stream().poll_readable(cx).is_pending() {
            return Ok(Read::Nothing);
        }
        match self.read_now()? {
            Read::Some => Ok(Read::Some),
            // The selector was wrong, and is to be asked again.
            Read::Nothing if self.stream().poll_readable(cx).is_pending() => Ok(Read::Nothing),
            Read::Nothing => Ok(Read::Some),
        }
    }

    fn read_now(&mut self) -> Result<Read, Over> {
        let server = self.server.clone();
        let mut buffer = server.read_buffer.borrow_mut();
        match self.stream().try_read(&mut buffer) {
            Ok(0) => self.protocol.receive_eof(),
            Ok(read) => self.protocol.receive(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Nothing),
            Err(error) => return Err(error.into()),
        }
        Ok(Read::Some)
    }

    fn begin(&mut self, head: RequestHead, out: &mut Vec<u8>) -> Result<Step, Over> {
        self.waiting = Waiting::Nothing;
        self.server.requests.update(|requests| requests + 1);
        self.body_error = None;
        let server = self.server.clone();
        let found = server.routes.find(&head);
        let route = found.route.clone();
        self.body = if head.framing().has_body() {
            Some(Rc::new(Pipe::new()))
        } else {
            // Through which a handler that runs to its end hears of its client's end.
            runs_to_end(route.as_ref()).then(|| Rc::new(Pipe::ended()))
        };
        if let Some(limit) = route.as_ref().and_then(|route| route.options.body_bytes_max) {
            self.protocol.set_body_limit(limit);
        }
        if let Err(error) = self.protocol.check_body_limit() {
            return self.answer(error.into_response(), None, out);
        }
        let parts = Parts {
            head,
            body: RequestBody::new(self.body.clone()),
            peer: self.peer,
            route: route.clone(),
            params: found.params,
            extensions: Extensions::default(),
        };
        let request = Request { parts: PartsBox::new(parts) };
        self.server.notebook.set(route.as_ref().map(|route| route.note));
        match catch_unwind(AssertUnwindSafe(|| found.call(request))) {
            Ok(running) => self.go_on(Work::Handling { running, route }),
            Err(payload) => self.answer_panic(&*payload, route, out),
        }
    }

    /// Answers a request that is none, and closes.
    fn refuse(&mut self, error: ProtocolError, out: &mut Vec<u8>) -> Result<Step, Over> {
        tracing::debug!(target: "brigade::http", peer = %self.peer, %error, "refused a request");
        if !self.protocol.can_answer() || error == ProtocolError::UnexpectedEnd {
            return self.go_on(Work::Closing { linger: false });
        }
        self.answer(error.into_response(), None, out)?;
        self.go_on(Work::Closing { linger: true })
    }

    fn go_on(&mut self, work: Work) -> Result<Step, Over> {
        self.work = work;
        Ok(Step::Again)
    }
}

/// # Answers
impl ConnectionTask {
    fn handle(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        let Work::Handling { running, route } = &mut self.work else { return Ok(Step::Again) };
        self.server.notebook.set(route.as_ref().map(|route| route.note));
        match catch_unwind(AssertUnwindSafe(|| Pin::new(running).poll(cx))) {
            Ok(Poll::Ready(response)) => {
                let route = route.take();
                self.work = Work::Reading;
                self.answer(response, route, out)
            }
            Ok(Poll::Pending) => self.feed_body(cx, out, budget),
            Err(payload) => {
                let route = route.take();
                self.answer_panic(&*payload, route, out)
            }
        }
    }

    fn answer_panic(
        &mut self,
        payload: &(dyn std::any::Any + Send),
        route: Option<Rc<Route>>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref().map(String::as_str));
        let pattern = route.as_ref().map_or("(no route)", |route| &route.pattern);
        let task = task::current().map_or_else(String::new, |task| task.label.to_string());
        tracing::error!(
            target: "brigade::http",
            "the handler of {pattern} panicked in {task}, serving {}: {}",
            self.peer,
            message.unwrap_or("(a payload that is no text)"),
        );
        self.protocol.close_after_answer();
        self.answer(Response::plain(StatusCode::INTERNAL_SERVER_ERROR, ""), None, out)
    }

    fn answer(
        &mut self,
        mut response: Response,
        route: Option<Rc<Route>>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        if let Some(error) = self.body_error.filter(|_| response.status.is_success()) {
            response = error.into_response();
        }
        if self.server.is_draining() || self.leaves_too_much_unread() {
            self.protocol.close_after_answer();
        }
        if let Err(error) = self.send_head(&response, out) {
            tracing::error!(
                target: "brigade::http",
                "an answer that cannot be sent was replaced by a 500: {error}"
            );
            response = Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "");
            if self.send_head(&response, out).is_err() {
                return self.cut_off();
            }
        }
        match response.body.kind {
            BodyKind::Empty => self.finish(None, out),
            BodyKind::Full(bytes) => {
                if self.send_part(bytes, out)?.is_err() {
                    return self.cut_off();
                }
                self.finish(None, out)
            }
            BodyKind::Stream(..) if !self.protocol.sends_body() => self.finish(None, out),
            BodyKind::Stream(stream, _) => self.go_on(Work::Sending { stream, route }),
            BodyKind::Upgrade(_) if response.status != StatusCode::SWITCHING_PROTOCOLS => {
                self.finish(None, out)
            }
            BodyKind::Upgrade(upgrade) => {
                self.write(out)?;
                if self.outgoing.is_blocked() {
                    // A peer that does not even take this much is none to go on with.
                    return self.cut_off();
                }
                let early = self.protocol.upgrade().freeze();
                let stream = self.stream.take().expect("a connection is upgraded once");
                self.go_on(Work::Upgraded { protocol: upgrade(Upgraded::new(early, stream)) })
            }
        }
    }

    /// Whether more of the request's body is left, wanted by nobody, than is worth to read.
    fn leaves_too_much_unread(&self) -> bool {
        let is_wanted = self.body.as_ref().is_some_and(|body| Rc::strong_count(body) > 1);
        let left = self.protocol.body_remaining().unwrap_or(0);
        !is_wanted && left > self.server.limits.drain_bytes_max
    }

    fn send_head(&mut self, response: &Response, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let date = self.server.date();
        let length = response.body.length();
        self.protocol.send_head(response.status, &response.headers, length, &date, out)
    }

    fn send_part(
        &mut self,
        part: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<Result<(), EncodeError>, Over> {
        if part.len() < UNCOPIED_BYTES_MIN {
            return Ok(self.protocol.send_data(&part, out));
        }
        match self.protocol.begin_data(part.len(), out) {
            Ok(true) => {
                self.outgoing.push(out, part);
                self.protocol.end_data(out);
                Ok(Ok(()))
            }
            Ok(false) => Ok(Ok(())),
            Err(error) => Ok(Err(error)),
        }
    }

    fn send_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        let gathered = out.len() + self.outgoing.len();
        if gathered >= self.server.limits.write_queue_bytes_max {
            self.write(out)?;
        }
        if self.outgoing.is_blocked() {
            return Ok(Step::Wait);
        }
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        let Work::Sending { stream, route } = &mut self.work else { return Ok(Step::Again) };
        self.server.notebook.set(route.as_ref().map(|route| route.note));
        match stream.as_mut().poll_next(cx) {
            Poll::Pending => self.feed_body(cx, out, budget),
            Poll::Ready(None) => self.finish(None, out),
            Poll::Ready(Some(Ok(Part::Trailers(trailers)))) => self.finish(Some(&trailers), out),
            Poll::Ready(Some(Ok(Part::Data(part)))) => {
                budget.parts -= 1;
                match self.send_part(part, out)? {
                    Ok(()) => Ok(Step::Again),
                    Err(error) => self.fail_midway(&error, out),
                }
            }
            Poll::Ready(Some(Err(error))) => self.fail_midway(&*error, out),
        }
    }

    /// The body cannot be sent to its end: the connection ends so that the client notices.
    fn fail_midway(
        &mut self,
        error: &dyn std::error::Error,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        tracing::error!(
            target: "brigade::http", peer = %self.peer, "a body failed midway: {error}"
        );
        self.write(out)?;
        self.cut_off()
    }

    fn cut_off(&self) -> Result<Step, Over> {
        if self.protocol.ends_body_by_closing() {
            // An orderly close would look like the end of the body.
            self.stream().set_linger(Some(Duration::ZERO))?;
        }
        Err(Over)
    }

    fn finish(&mut self, trailers: Option<&HeaderMap>, out: &mut Vec<u8>) -> Result<Step, Over> {
        let unread = self.protocol.is_reading_body() || self.protocol.buffered() > 0;
        if let Err(error) = self.protocol.send_end(trailers, out) {
            return self.fail_midway(&error, out);
        }
        if let Some(body) = self.body.take() {
            body.end(Err(BodyError::Gone), std::task::Waker::noop());
            body.leave();
        }
        if !self.protocol.keep_alive() {
            let linger = unread || self.body_error.is_some();
            return self.go_on(Work::Closing { linger });
        }
        if !self.protocol.is_reading_body() {
            return self.go_on(Work::Reading);
        }
        let left = self.server.limits.drain_bytes_max;
        match self.protocol.body_remaining() {
            Some(remaining) if remaining > left => self.go_on(Work::Closing { linger: true }),
            _ => self.go_on(Work::Draining { left }),
        }
    }
}

/// # Bodies that come in
impl ConnectionTask {
    /// Gives the handler what it wants of the request's body, as far as it is there.
    fn feed_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        let Some(body) = self.body.clone() else { return Ok(Step::Wait) };
        body.watch(cx.waker());
        if !body.is_wanted() {
            return Ok(Step::Wait);
        }
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        budget.parts -= 1;
        loop {
            match self.protocol.next_event(&self.server.limits) {
                Event::Body(part) => {
                    self.begin_to_wait(Waiting::Nothing);
                    body.push(part, cx.waker());
                    return Ok(Step::Again);
                }
                Event::BodyEnd(trailers) => {
                    body.end(Ok(trailers), cx.waker());
                    return Ok(Step::Again);
                }
                Event::NeedData => {
                    self.protocol.send_continue(out);
                    if matches!(self.read(cx)?, Read::Nothing) {
                        return Ok(Step::Wait);
                    }
                }
                Event::Error(error) => {
                    self.body_error = Some(error);
                    body.end(Err(BodyError::Protocol(error)), cx.waker());
                    return Ok(Step::Again);
                }
                Event::Paused | Event::Closed | Event::Request(_) => {
                    body.end(Err(BodyError::Gone), cx.waker());
                    return Ok(Step::Again);
                }
            }
        }
    }

    /// Reads and drops the rest of a body that the handler did not want.
    fn drain(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Result<Step, Over> {
        let Work::Draining { left } = &mut self.work else { return Ok(Step::Again) };
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        match self.protocol.next_event(&self.server.limits) {
            Event::Body(part) => {
                budget.parts -= 1;
                match left.checked_sub(part.len() as u64) {
                    Some(rest) => *left = rest,
                    None => self.work = Work::Closing { linger: true },
                }
                Ok(Step::Again)
            }
            Event::NeedData => match self.read(cx)? {
                Read::Some => Ok(Step::Again),
                Read::Nothing => Ok(Step::Wait),
            },
            Event::Error(_) => self.go_on(Work::Closing { linger: true }),
            Event::BodyEnd(_) | Event::Closed => self.go_on(Work::Reading),
            Event::Paused | Event::Request(_) => {
                unreachable!("the rest of a body is read before the next request")
            }
        }
    }
}

/// # The end
impl ConnectionTask {
    fn close(&mut self, out: &mut Vec<u8>, linger: bool) -> Result<Step, Over> {
        self.write(out)?;
        if self.outgoing.is_blocked() {
            return Ok(Step::Wait);
        }
        if !linger {
            return Err(Over);
        }
        self.stream().shutdown(Shutdown::Write)?;
        self.go_on(Work::Lingering { until: time::now() + LINGER })
    }

    /// Reads and drops what the peer still sends, until it closes.
    fn linger(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Result<Step, Over> {
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        budget.parts -= 1;
        if self.stream().poll_readable(cx).is_pending() {
            return Ok(Step::Wait);
        }
        let server = self.server.clone();
        let mut buffer = server.read_buffer.borrow_mut();
        match self.stream().try_read(&mut buffer) {
            Ok(0) => Err(Over),
            Ok(_) => {
                self.waiting = Waiting::Nothing;
                Ok(Step::Again)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Again),
            Err(error) => Err(error.into()),
        }
    }
}

/// # Waiting
impl ConnectionTask {
    fn write(&mut self, out: &mut Vec<u8>) -> Result<(), Over> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let written = self.outgoing.write(out, stream)?;
        if written > 0 && self.waiting == Waiting::Write {
            self.waiting = Waiting::Nothing;
        }
        Ok(())
    }

    /// Writes, and arranges to be woken. Ready if there is something to do after all.
    fn wait(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Result<Poll<()>, Over> {
        if self.stream.is_none() {
            return Ok(Poll::Pending);
        }
        let was_blocked = self.outgoing.is_blocked();
        self.write(out)?;
        if self.outgoing.is_blocked() {
            if self.stream().poll_writable(cx).is_ready() {
                return Ok(Poll::Ready(()));
            }
        } else if was_blocked {
            return Ok(Poll::Ready(()));
        }
        self.watch_peer(cx)?;
        self.watch_clock(cx)
    }

    /// Ends a connection whose handler works for a client that has gone, or tells the handler if
    /// it runs to its end all the same.
    fn watch_peer(&self, cx: &mut Context<'_>) -> Result<(), Over> {
        let (Work::Handling { route, .. } | Work::Sending { route, .. }) = &self.work else {
            return Ok(());
        };
        if self.stream().poll_read_closed(cx).is_pending() {
            return Ok(());
        }
        // An orderly end may lie behind a body that the handler has yet to read; a reset does not.
        if self.protocol.is_reading_body() && !self.stream().is_write_closed() {
            return Ok(());
        }
        if !runs_to_end(route.as_ref()) {
            return Err(Over);
        }
        if let Some(body) = &self.body {
            body.leave();
        }
        Ok(())
    }

    /// Notes what is waited for and sets the alarm. Ready if the time is over, and something is
    /// to be done about it.
    fn watch_clock(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Over> {
        let now = time::now();
        let (waiting, mut timeout) = self.what_is_awaited();
        if waiting != self.waiting {
            self.begin_to_wait(waiting);
        }
        if waiting == Waiting::Idle && self.server.is_draining() {
            timeout = timeout.min(DRAIN_QUIET);
        }
        let latest = match waiting {
            Waiting::Nothing | Waiting::Handler => return Ok(Poll::Pending),
            Waiting::Body => self.body_rate_deadline(),
            Waiting::Linger => self.linger_deadline(),
            _ => None,
        };
        let deadline = [self.since.checked_add(timeout), latest].into_iter().flatten().min();
        // A timeout beyond what the system can tell never comes.
        let Some(deadline) = deadline else { return Ok(Poll::Pending) };
        if now >= deadline {
            return self.expire(cx);
        }
        self.set_alarm(deadline, cx);
        Ok(Poll::Pending)
    }

    fn begin_to_wait(&mut self, waiting: Waiting) {
        let now = time::now();
        if let (Waiting::Body, Some(body)) = (self.waiting, &self.body) {
            body.waited.update(|waited| waited + now.saturating_duration_since(self.since));
        }
        self.waiting = waiting;
        self.since = now;
    }

    fn what_is_awaited(&self) -> (Waiting, Duration) {
        let timeouts = &self.server.timeouts;
        if self.outgoing.is_blocked() {
            return (Waiting::Write, timeouts.write);
        }
        match &self.work {
            Work::Reading if self.protocol.is_reading_head() => (Waiting::Head, timeouts.head),
            Work::Reading => (Waiting::Idle, timeouts.keep_alive),
            Work::Draining { .. } => (Waiting::Drain, timeouts.body_gap),
            Work::Lingering { .. } | Work::Closing { .. } => (Waiting::Linger, LINGER_GAP),
            Work::Handling { .. } | Work::Sending { .. } => {
                match self.body.as_ref().is_some_and(|body| body.is_wanted()) {
                    true => {
                        let of_route = self.route_options().and_then(|route| route.body_gap);
                        (Waiting::Body, of_route.unwrap_or(timeouts.body_gap))
                    }
                    false => (Waiting::Handler, Duration::ZERO),
                }
            }
            Work::Upgraded { .. } => (Waiting::Handler, Duration::ZERO),
        }
    }

    /// What the route of the current request does otherwise than the server.
    fn route_options(&self) -> Option<&RouteOptions> {
        match &self.work {
            Work::Handling { route, .. } | Work::Sending { route, .. } => {
                route.as_ref().map(|route| &route.options)
            }
            _ => None,
        }
    }

    /// When the body is too slow on average, unless more of it comes before. Only the time counts
    /// in which the handler waited for it: while it did something else, the peer had to.
    fn body_rate_deadline(&self) -> Option<Instant> {
        let body = self.body.as_ref()?;
        let of_route = self.route_options().and_then(|route| route.body_bytes_per_second_min);
        let rate = of_route.unwrap_or(self.server.timeouts.body_bytes_per_second_min);
        let earned = Duration::from_secs(body.received.get().checked_div(rate.into())?);
        let granted = BODY_RATE_GRACE.saturating_add(earned);
        self.since.checked_add(granted.saturating_sub(body.waited.get()))
    }

    fn linger_deadline(&self) -> Option<Instant> {
        match self.work {
            Work::Lingering { until } => Some(until),
            _ => None,
        }
    }

    fn set_alarm(&mut self, deadline: Instant, cx: &mut Context<'_>) {
        match &mut self.alarm {
            Some(alarm) if alarm.ends_by(deadline) && !alarm.is_elapsed() => return,
            Some(alarm) => alarm.reset(deadline),
            None => self.alarm = Some(sleep_until(deadline)),
        }
        if let Some(alarm) = &mut self.alarm {
            // Not ready: its deadline lies ahead.
            let _ = Pin::new(alarm).poll(cx);
        }
    }

    /// The time is over. What has arrived without the selector having said so still counts: this
    /// process may have been stopped meanwhile.
    fn expire(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Over> {
        let reads = matches!(self.waiting, Waiting::Idle | Waiting::Head | Waiting::Body);
        if reads && matches!(self.read_now()?, Read::Some) {
            return Ok(Poll::Ready(()));
        }
        match self.waiting {
            Waiting::Head => {
                self.protocol.give_up(ProtocolError::HeadTimeout);
                let mut out = Vec::new();
                self.refuse(ProtocolError::HeadTimeout, &mut out)?;
                self.write(&mut out)?;
                Ok(Poll::Ready(()))
            }
            Waiting::Body => {
                let error = ProtocolError::BodyTimeout;
                self.protocol.give_up(error);
                self.body_error = Some(error);
                if let Some(body) = &self.body {
                    body.end(Err(BodyError::Protocol(error)), cx.waker());
                }
                Ok(Poll::Ready(()))
            }
            Waiting::Write => {
                // What was written and not taken is given up, not kept by the system.
                self.stream().set_linger(Some(Duration::ZERO))?;
                Err(Over)
            }
            Waiting::Idle | Waiting::Drain | Waiting::Linger => Err(Over),
            Waiting::Nothing | Waiting::Handler => Ok(Poll::Pending),
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
        let mut out = this.server.take_write_buffer();
        let ran = this.run(cx, &mut out);
        this.server.give_write_buffer(out);
        if this.server.is_census() && ran.is_ok() {
            this.tell_activity();
        }
        match ran {
            Ok(poll) => poll,
            Err(Over) => Poll::Ready(()),
        }
    }
}

fn runs_to_end(route: Option<&Rc<Route>>) -> bool {
    route.is_some_and(|route| route.options.runs_to_end)
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        if let Some(body) = &self.body {
            body.leave();
        }
        self.server.connection_closed();
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;
    use crate::parts::Parts;

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
