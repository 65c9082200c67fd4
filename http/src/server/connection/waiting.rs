//! What the connection does when it can do nothing else: it writes, and arranges to be woken.

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use brigade_runtime::task;

use crate::message::body_error::BodyError;
use crate::message::route::RouteOptions;
use crate::protocol::error::ProtocolError;
use crate::server::connection::requests::detaches_on_disconnect;
use crate::server::connection::{ConnectionTask, HAS_STREAM, PollContext, State, Step, Waiting};
use crate::transport::reading;

/// The longest silence of a peer that was sent its last response.
const LINGER_GAP: Duration = Duration::from_secs(5);
/// The body rate is checked only after this grace period.
const BODY_RATE_GRACE: Duration = Duration::from_secs(30);
/// When the server shuts down, a connection that has been quiet for this long is closed. A request
/// may be on its way on one that was busy until just now, and the peer of one that was just sent
/// its last response may still close it.
const DRAIN_QUIET: Duration = Duration::from_millis(250);

impl ConnectionTask {
    /// Writes what the socket takes.
    pub(super) fn write(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<()> {
        let Some(stream) = self.stream.claimed() else { return Ok(()) };
        let written = self.outgoing.write(&mut cx.out, stream)?;
        if let Some(watch) = &mut self.watch {
            watch.observed.note_written(written);
        }
        if written > 0 && self.pace.is_behind() {
            self.note_written(written);
        }
        Ok(())
    }

    #[cold]
    fn note_written(&mut self, bytes: usize) {
        let mut waited = Duration::ZERO;
        if self.deadline.waiting() == Waiting::Write {
            waited = self.deadline.waited();
            self.deadline.stop();
        }
        self.pace.note(waited, bytes, self.write_rate());
    }

    /// Writes, and arranges to be woken. Returns [`Step::Wait`] unless there is something to do
    /// after all.
    pub(super) fn wait(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        if matches!(self.state, State::Upgraded(_)) {
            return Ok(Step::Wait);
        }
        let was_blocked = self.outgoing.is_blocked();
        self.write(cx)?;
        if self.outgoing.is_blocked() {
            if self.stream().poll_writable(cx.task).is_ready() {
                return Ok(Step::Again);
            }
        } else if was_blocked {
            return Ok(Step::Again);
        }
        match self.watch_peer(cx) {
            Step::Wait => self.watch_clock(cx),
            step => Ok(step),
        }
    }

    /// Ends a connection whose client has gone while its handler works, or lets a detached handler
    /// know. Returns [`Step::Wait`] otherwise.
    fn watch_peer(&self, cx: &mut PollContext<'_, '_>) -> Step {
        if !matches!(self.state, State::Handling(_) | State::Sending(_)) {
            return Step::Wait;
        }
        let stream = self.stream();
        if stream.poll_read_closed(cx.task).is_pending() {
            return Step::Wait;
        }
        // Ready without being closed means that the selector cannot watch this socket.
        if !stream.is_read_closed() {
            return Step::Done;
        }
        // An orderly end may lie behind a body that is about to be read, and the client may still
        // take what is written. After a reset neither can be.
        let is_busy = self.outgoing.is_blocked() || self.is_about_to_read_body();
        if is_busy && !stream.is_write_closed() {
            return Step::Wait;
        }
        if !detaches_on_disconnect(self.route()) {
            return Step::Done;
        }
        if let Some(body) = &self.request.body {
            body.leave();
        }
        Step::Wait
    }

    /// Returns `true` if more of the request's body will be read without anything else happening:
    /// its handler waits for it, or for a turn.
    fn is_about_to_read_body(&self) -> bool {
        let is_wanted = || self.request.body.as_ref().is_some_and(|body| body.is_wanted());
        self.protocol.is_reading_body() && (is_wanted() || !task::has_budget_remaining())
    }

    /// Notes what the connection waits for, and sets the timer. Returns [`Step::Wait`] unless the
    /// time is over.
    fn watch_clock(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        let (waiting, mut timeout) = self.awaited();
        if waiting != self.deadline.waiting() {
            self.start_waiting(waiting);
        }
        if matches!(waiting, Waiting::Idle | Waiting::Linger) && cx.server.is_draining() {
            timeout = timeout.min(DRAIN_QUIET);
        }
        let latest = match waiting {
            Waiting::Nothing | Waiting::Handler => return Ok(Step::Wait),
            Waiting::Body => self.body_rate_deadline(),
            Waiting::Write => self.pace.latest(self.deadline.since(), self.write_rate()),
            Waiting::Linger => self.linger_deadline(),
            _ => None,
        };
        match self.deadline.poll_passed(Some(timeout), latest, cx.task) {
            Poll::Ready(()) => self.expire(cx),
            Poll::Pending => {
                if waiting == Waiting::Write {
                    // The socket may accept bytes some time before it is reported as writable.
                    self.deadline.wake_early(cx.task);
                }
                Ok(Step::Wait)
            }
        }
    }

    /// Notes that the connection waits for `waiting` from now on.
    pub(super) fn start_waiting(&mut self, waiting: Waiting) {
        if self.deadline.waiting() == Waiting::Body
            && let Some(body) = &self.request.body
        {
            let lasted = self.deadline.waited();
            body.waited.update(|waited| waited + lasted);
        }
        if waiting == Waiting::Write {
            self.pace.begin();
        }
        self.deadline.start(waiting);
    }

    /// Returns what the connection waits for, and how long it may.
    fn awaited(&self) -> (Waiting, Duration) {
        let timeouts = &self.server.timeouts;
        if self.outgoing.is_blocked() {
            return (Waiting::Write, timeouts.write);
        }
        match &self.state {
            State::Reading if self.protocol.is_reading_head() => (Waiting::Head, timeouts.head),
            State::Reading => (Waiting::Idle, timeouts.keep_alive),
            State::Discarding { .. } => (Waiting::Discard, timeouts.body_gap),
            State::Lingering { .. } | State::Closing { .. } => (Waiting::Linger, LINGER_GAP),
            State::Handling(_) | State::Sending(_)
                if self.request.body.as_ref().is_some_and(|body| body.is_wanted()) =>
            {
                let of_route = self.route_options().and_then(|route| route.body_gap);
                (Waiting::Body, of_route.unwrap_or(timeouts.body_gap))
            }
            State::Handling(_) | State::Sending(_) | State::Upgraded(_) | State::Done => {
                (Waiting::Handler, Duration::ZERO)
            }
        }
    }

    /// Returns what the route of the current request sets differently from the server.
    fn route_options(&self) -> Option<&RouteOptions> {
        self.route().map(|route| &route.options)
    }

    /// Returns the minimum rate, in bytes a second, at which the client has to take the response.
    fn write_rate(&self) -> u32 {
        let of_route = self.route_options().and_then(|route| route.write_bytes_per_second_min);
        let of_response = of_route.or_else(|| self.outgoing.rate());
        of_response.unwrap_or(self.server.timeouts.write_bytes_per_second_min)
    }

    /// Returns when the body will be too slow on average, unless more of it comes before. Only the
    /// time counts in which the handler waited for it.
    fn body_rate_deadline(&self) -> Option<Instant> {
        let body = self.request.body.as_ref()?;
        let of_route = self.route_options().and_then(|route| route.body_bytes_per_second_min);
        let rate = of_route.unwrap_or(self.server.timeouts.body_bytes_per_second_min);
        let earned = Duration::from_secs(body.received.get().checked_div(rate.into())?);
        let granted = BODY_RATE_GRACE.saturating_add(earned);
        self.deadline.since().checked_add(granted.saturating_sub(body.waited.get()))
    }

    fn linger_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Lingering { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Acts on a timeout. Bytes that have arrived without a report of the selector still count:
    /// this process may have been stopped meanwhile.
    fn expire(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        let waiting = self.deadline.waiting();
        if matches!(waiting, Waiting::Idle | Waiting::Head | Waiting::Body) && self.has_read()? {
            // Not at once: the budget for this poll may be spent.
            cx.task.waker().wake_by_ref();
            return Ok(Step::Wait);
        }
        match waiting {
            Waiting::Head => {
                let error = self.protocol.give_up(ProtocolError::HeadTimeout, &cx.server.limits);
                self.refuse(error, cx)
            }
            Waiting::Body => {
                let error = ProtocolError::BodyTimeout;
                self.protocol.give_up(error, &cx.server.limits);
                self.request.body_error = Some(error);
                if let Some(body) = &self.request.body {
                    body.end(Err(BodyError::Protocol(error)), cx.task.waker());
                }
                Ok(Step::Again)
            }
            Waiting::Idle if self.stream.claimed().is_some_and(|it| it.socket().is_none()) => {
                self.enter(State::Closing { linger: false }, Step::Again)
            }
            Waiting::Write | Waiting::Idle | Waiting::Discard | Waiting::Linger => Ok(Step::Done),
            Waiting::Nothing | Waiting::Handler => Ok(Step::Wait),
        }
    }

    /// Reads once, whether or not the selector has reported anything. Returns `true` if something
    /// was there, and `false` also if another loop has taken the connection over.
    pub(super) fn has_read(&mut self) -> io::Result<bool> {
        if !self.stream.claim() {
            return Ok(false);
        }
        let stream = self.stream.claimed().expect(HAS_STREAM);
        let read = reading::try_read(stream, self.protocol.incoming(), &self.server.buffers)?;
        Ok(read.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpStream};
    use std::pin::pin;
    use std::rc::Rc;
    use std::sync::{Arc, mpsc};

    use brigade_runtime::net::{PeerAddr, TcpListener};
    use brigade_runtime::oneshot::{SyncSender, sync_channel};
    use brigade_runtime::server::{Acceptor, ConnectionReceiver, LoopEvent};
    use brigade_runtime::{run, spawn, time};
    use futures_util::poll;

    use super::*;
    use crate::routing::router::Router;
    use crate::server::loop_context::{LoopContext, Options};
    use crate::server::timeouts::Timeouts;

    /// How long a test waits for an event before it fails. Nothing takes that long.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// An acceptor with two loops: its own, and that of the test.
    struct TwoLoops {
        address: SocketAddr,
        /// The connections of the test's loop.
        receiver: ConnectionReceiver,
        /// The peers of the connections that the acceptor's loop was given.
        others: mpsc::Receiver<PeerAddr>,
        _shutdown: SyncSender<()>,
    }

    impl TwoLoops {
        fn start() -> Self {
            let (mut acceptor, mut receivers) = Acceptor::new(2);
            let (mut of_other, receiver) = (receivers.remove(1), receivers.remove(0));
            let (addresses, address) = mpsc::channel();
            let (given, others) = mpsc::channel();
            let (shutdown, ended) = sync_channel::<()>();
            std::thread::spawn(move || {
                run(async move {
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    addresses.send(listener.local_addr().unwrap()).unwrap();
                    spawn(async move { acceptor.accept_from(&[listener]).await }).detach();
                    let receive = async move {
                        let mut open = Vec::new();
                        while let Some(LoopEvent::Connection(one)) = of_other.recv().await {
                            // A test that ends does not receive any more.
                            let _ = given.send(one.peer);
                            open.push(one.claim());
                        }
                    };
                    spawn(receive).detach();
                    let _ = ended.await;
                });
            });
            let address = address.recv_timeout(PATIENCE).unwrap();
            Self { address, receiver, others, _shutdown: shutdown }
        }
    }

    #[test]
    fn an_idle_connection_that_was_taken_over_before_its_timeout_ends_quietly() {
        let keep_alive = Duration::from_millis(1);
        let timeouts = Timeouts { keep_alive, ..Timeouts::default() };
        run(async move {
            let routes = Router::new().into_service();
            let options = Options { timeouts, ..Options::default() };
            let context = Rc::new(LoopContext::new(routes, options, 0, Arc::default(), None));
            let mut loops = TwoLoops::start();
            let mut clients = Vec::new();
            // The other loop is given some of them.
            let accepted = loop {
                clients.push(TcpStream::connect(loops.address).unwrap());
                let received = time::timeout(Duration::from_millis(100), loops.receiver.recv());
                if let Ok(Some(LoopEvent::Connection(accepted))) = received.await {
                    break accepted;
                }
            };
            let peer = accepted.peer;
            let is_of_peer = |one: &&TcpStream| PeerAddr::from(one.local_addr().unwrap()) == peer;
            let mut client = clients.iter().find(is_of_peer).unwrap();
            let mut connection = pin!(ConnectionTask::new(context, accepted));
            assert!(poll!(connection.as_mut()).is_pending());
            time::sleep(2 * keep_alive).await;
            // From here on this loop is stuck, and does not notice that the other one takes over.
            client.write_all(b"GET").unwrap();
            while loops.others.recv_timeout(PATIENCE).unwrap() != peer {}
            assert!(poll!(connection).is_ready());
        });
    }
}
