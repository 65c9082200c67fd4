//! What all connections of one loop share: the application, the options, the buffers.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use brigade_runtime::time;

use crate::date::{DATE_BYTES, DateCache};
use crate::limits::{Limits, Timeouts};
use crate::router::RouteTable;

/// A read takes this much at the most. One such buffer serves all connections of a loop.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// A write buffer that has grown beyond this is not kept.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// How old the loop's `Date` may be; its text has whole seconds.
const DATE_AGE_MAX: Duration = Duration::from_millis(100);

/// One loop's side of a server.
pub(crate) struct LoopServer {
    pub(crate) routes: RouteTable,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// Where bytes are read into; initialised once.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// Where answers are written; belongs to a connection only while its task runs.
    write_buffer: Cell<Vec<u8>>,
    date: RefCell<DateCache>,
    /// Until when that date is new enough.
    date_ends: Cell<Instant>,
    /// The server is shutting down: answers say `Connection: close`.
    is_draining: Cell<bool>,
    /// Connections whose task has not ended.
    open: Cell<usize>,
    /// Requests whose head was read, ever.
    pub(crate) requests: Cell<u64>,
    /// Who waits until no connection is open.
    drained: Cell<Option<Waker>>,
}

impl LoopServer {
    pub(crate) fn new(routes: RouteTable, limits: Limits, timeouts: Timeouts) -> Self {
        Self {
            routes,
            limits,
            timeouts,
            read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
            write_buffer: Cell::new(Vec::new()),
            date: RefCell::new(DateCache::new()),
            date_ends: Cell::new(time::now()),
            is_draining: Cell::new(false),
            open: Cell::new(0),
            requests: Cell::new(0),
            drained: Cell::new(None),
        }
    }

    /// The loop's write buffer, empty. To be given back.
    pub(crate) fn take_write_buffer(&self) -> Vec<u8> {
        self.write_buffer.take()
    }

    pub(crate) fn give_write_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= WRITE_BUFFER_BYTES_MAX {
            buffer.clear();
            self.write_buffer.set(buffer);
        }
    }

    /// The `Date` of answers that are sent now.
    pub(crate) fn date(&self) -> [u8; DATE_BYTES] {
        let mut date = self.date.borrow_mut();
        let now = time::now();
        if now >= self.date_ends.get() {
            self.date_ends.set(now + DATE_AGE_MAX);
            date.bytes(SystemTime::now());
        }
        *date.text()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    pub(crate) fn begin_drain(&self) {
        self.is_draining.set(true);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    pub(crate) fn connection_opened(&self) {
        self.open.update(|open| open + 1);
    }

    pub(crate) fn connection_closed(&self) {
        self.open.update(|open| open - 1);
        if self.open.get() == 0
            && let Some(waker) = self.drained.take()
        {
            waker.wake();
        }
    }

    /// Waits until no connection is open.
    pub(crate) async fn drained(&self) {
        std::future::poll_fn(|cx| {
            if self.open.get() == 0 {
                return std::task::Poll::Ready(());
            }
            self.drained.set(Some(cx.waker().clone()));
            std::task::Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for LoopServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopServer").field("open", &self.open).finish_non_exhaustive()
    }
}
