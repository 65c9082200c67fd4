//! What the requests of one client share: the options, the buffers, and the idle connections.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use brigade_runtime::{CallbackHandle, call_later, time};

use crate::client::http2::Origins;
use crate::client::options::Options;
use crate::message::byte_stream::ByteStream;
use crate::protocol::body_decoder::BodyEvent;
use crate::protocol::client_connection::{ClientConnection, ResponseEvent};
use crate::protocol::limits::{DISCARD_BYTES_MAX, Limits};
use crate::transport::buffers::LoopBuffers;
use crate::transport::reading;

/// The maximum number of bytes per read.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// How often idle connections are swept: one that the server closed holds its descriptor for no
/// longer than this.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest interval between two sweeps, however short the idle timeout is.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The state of a client.
pub(super) struct LoopClient {
    pub(super) options: Options,
    pub(super) buffers: LoopBuffers,
    /// The idle connections of HTTP/1.1 by host and port, each list in the order in which they
    /// became idle.
    idle: RefCell<HashMap<Rc<str>, VecDeque<Idle>>>,
    idle_count: Cell<usize>,
    /// The servers that may speak HTTP/2, and the connections to them.
    pub(super) http2: Origins,
    /// Requests in progress, whose connections may become idle.
    in_use: Cell<usize>,
    pub(super) opened: Cell<u64>,
    /// The next sweep of the idle connections. Pending while there are any, unless the loop has
    /// ended.
    sweep: RefCell<Option<CallbackHandle>>,
}

/// A connection of HTTP/1.1 with its protocol.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: ByteStream,
    pub(super) protocol: ClientConnection,
    /// That of the [target](crate::client::target::Target).
    pub(super) origin: Rc<str>,
}

struct Idle {
    link: Link,
    since: Instant,
}

impl LoopClient {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            buffers: LoopBuffers::new(READ_BUFFER_BYTES),
            idle: RefCell::default(),
            idle_count: Cell::new(0),
            http2: Origins::default(),
            in_use: Cell::new(0),
            opened: Cell::new(0),
            sweep: RefCell::new(None),
        }
    }

    /// Returns how many connections are idle.
    pub(super) fn idle_count(&self) -> usize {
        self.idle_links() + self.http2.idle_count()
    }

    /// Returns how many connections of HTTP/1.1 are idle.
    pub(super) fn idle_links(&self) -> usize {
        self.idle_count.get()
    }

    /// Returns an idle connection to `origin` that the server has not closed: the one that became
    /// idle last, so that surplus connections reach their timeout.
    pub(super) fn take(&self, origin: &str) -> Option<Link> {
        if !self.is_swept() {
            // Their loop has ended, so no event shows any more that a server has closed one.
            self.close_idle_links();
        }
        while let Some(Idle { mut link, since }) = self.pop(origin) {
            let age = time::now().saturating_duration_since(since);
            if age < self.options.idle_timeout && link.prepare(self) {
                return Some(link);
            }
        }
        None
    }

    fn pop(&self, origin: &str) -> Option<Idle> {
        let last = self.idle.borrow_mut().get_mut(origin)?.pop_back()?;
        self.idle_count.update(|count| count - 1);
        Some(last)
    }

    /// Keeps a connection for the next request to its host, which may first have to discard the
    /// rest of a response.
    pub(super) fn put(&self, link: Link) {
        let options = &self.options;
        let none = options.idle_per_host_max == 0 || options.idle_max == 0;
        if none || options.idle_timeout.is_zero() {
            return;
        }
        let origin = link.origin.clone();
        let mut hosts = self.idle.borrow_mut();
        let host = hosts.entry(origin).or_default();
        host.push_back(Idle { link, since: time::now() });
        let mut surplus = None;
        if host.len() > options.idle_per_host_max {
            surplus = host.pop_front();
        } else {
            self.idle_count.update(|count| count + 1);
        }
        // Closed after the borrow has ended: dropping a socket drops wakers, and runs their code.
        drop(hosts);
        drop(surplus);
        self.close_surplus();
    }

    /// Closes the connections beyond `idle_max` that have been idle for longest.
    pub(super) fn close_surplus(&self) {
        let idle_max = self.options.idle_max;
        // Those of HTTP/2 are counted only if there may be too many.
        while self.idle_links() + self.http2.count_max() > idle_max && self.idle_count() > idle_max
        {
            self.close_oldest();
        }
    }

    /// Closes the connection that has been idle for longest.
    fn close_oldest(&self) {
        let oldest = |host: &VecDeque<Idle>| host.front().map(|idle| idle.since);
        let since = self.idle.borrow().values().filter_map(oldest).min();
        if self.http2.close_oldest(since) {
            return;
        }
        let mut hosts = self.idle.borrow_mut();
        let host = hosts.values_mut().find(|host| since.is_some() && oldest(host) == since);
        let closed = host.and_then(VecDeque::pop_front);
        self.idle_count.update(|count| count - usize::from(closed.is_some()));
        // Closed after the borrow has ended, as above.
        drop(hosts);
        drop(closed);
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        self.close_idle_links();
        self.http2.close_idle();
    }

    fn close_idle_links(&self) {
        self.idle_count.set(0);
        // Bound to a name, so that they are closed after the borrow has ended.
        let _closed = self.idle.take();
    }

    fn is_swept(&self) -> bool {
        self.sweep.borrow().as_ref().is_some_and(CallbackHandle::is_pending)
    }

    /// Schedules the next sweep. Has to be called on the loop.
    fn arm_sweep(self: &Rc<Self>) {
        let client = Rc::downgrade(self);
        let interval = self.options.idle_timeout.clamp(SWEEP_INTERVAL_MIN, SWEEP_INTERVAL);
        let sweep = call_later(interval, move || {
            if let Some(client) = client.upgrade() {
                client.sweep();
            }
        });
        // Bound to a name, so that the handle is dropped after the borrow has ended.
        let _before = self.sweep.replace(Some(sweep));
    }

    /// Closes the connections that have been idle for too long, or that their servers closed.
    fn sweep(self: &Rc<Self>) {
        let now = time::now();
        let is_over = |idle: &Idle| {
            let age = now.saturating_duration_since(idle.since);
            age >= self.options.idle_timeout || idle.link.stream.is_read_closed()
        };
        let mut over: Vec<Idle> = Vec::new();
        self.idle.borrow_mut().retain(|_, host| {
            let closing: VecDeque<Idle>;
            (closing, *host) = std::mem::take(host).into_iter().partition(is_over);
            over.extend(closing);
            !host.is_empty()
        });
        self.idle_count.update(|count| count - over.len());
        drop(over);
        if self.idle_count.get() > 0 || self.in_use.get() > 0 {
            self.arm_sweep();
        }
    }
}

impl Drop for LoopClient {
    fn drop(&mut self) {
        if let Some(sweep) = self.sweep.take() {
            sweep.cancel();
        }
    }
}

impl fmt::Debug for LoopClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopClient")
            .field("opened", &self.opened)
            .field("idle", &self.idle_count)
            .field("in_use", &self.in_use)
            .finish_non_exhaustive()
    }
}

/// A client with a request in progress.
#[derive(Debug)]
pub(super) struct InUse(Rc<LoopClient>);

impl InUse {
    /// Counts a request in progress. Has to be called on the loop.
    pub(super) fn new(client: &Rc<LoopClient>) -> Self {
        client.in_use.update(|count| count + 1);
        if !client.is_swept() {
            client.arm_sweep();
        }
        Self(client.clone())
    }
}

impl Deref for InUse {
    type Target = LoopClient;

    fn deref(&self) -> &LoopClient {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.in_use.update(|count| count - 1);
    }
}

impl Link {
    pub(super) fn new(stream: ByteStream, origin: Rc<str>) -> Self {
        Self { stream, protocol: ClientConnection::new(), origin }
    }

    /// Reads once, when the selector has reported the socket as ready. Returns how many bytes were
    /// read, 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        client: &LoopClient,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        reading::poll_read(&self.stream, self.protocol.incoming(), &client.buffers, cx)
    }

    /// Reads once, whether or not the selector has reported the socket as ready. Returns how many
    /// bytes were read, 0 at the end of the stream; `None` if there is nothing to read.
    pub(super) fn try_read(&mut self, client: &LoopClient) -> io::Result<Option<usize>> {
        reading::try_read(&self.stream, self.protocol.incoming(), &client.buffers)
    }

    /// Prepares an idle connection for a request. Returns `false` if it cannot be used again: it is
    /// closed, the rest of the last response has not arrived, or unexpected bytes have.
    fn prepare(&mut self, client: &LoopClient) -> bool {
        if self.stream.is_read_closed() {
            return false;
        }
        let mut left = DISCARD_BYTES_MAX;
        while self.discard_body(&client.options.limits) {
            // Reads even if the selector has reported nothing: it may not have been polled since
            // the server closed.
            match self.try_read(client) {
                Ok(Some(0)) | Err(_) => return false,
                Ok(Some(count)) => match left.checked_sub(count as u64) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Ok(None) => return self.protocol.is_idle(),
            }
        }
        false
    }

    /// Discards what was received of a body. Returns `true` unless the connection cannot be used
    /// again.
    fn discard_body(&mut self, limits: &Limits) -> bool {
        while self.protocol.is_reading_body() {
            match self.protocol.next_body(limits) {
                Ok(BodyEvent::Data(_) | BodyEvent::End(_)) => {}
                Ok(BodyEvent::NeedData) => return true,
                Err(_) => return false,
            }
        }
        matches!(self.protocol.next_head(limits), Ok(ResponseEvent::NeedData))
    }
}
