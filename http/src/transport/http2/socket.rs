//! The stream of a connection, as h2 reads and writes it: with what was read before, and with a
//! look at the frames of both directions.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use brigade_runtime::time;
use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

use crate::message::byte_stream::ByteStream;
use crate::transport::http2::frames::{
    ControlFrames, DATA, EARNED_BY_MESSAGE, FrameReader, HEADERS, RST_STREAM, SETTINGS, Sender,
};
use crate::transport::pace::Pace;

/// A stream that the connection shares with h2.
#[derive(Clone)]
pub(crate) struct Socket {
    shared: Rc<RefCell<Shared>>,
}

/// A stream with what is known of it.
pub(crate) struct Shared {
    pub(crate) stream: ByteStream,
    /// What was read before.
    early: Bytes,
    /// The task's waker, while nothing is to be written because more will be written soon. h2 is
    /// polled with another waker meanwhile, so reads register this one.
    pub(crate) corked: Option<Waker>,
    pub(crate) seen: Seen,
}

/// What was seen of a connection.
pub(crate) struct Seen {
    received: FrameReader,
    sent: FrameReader,
    control: ControlFrames,
    control_frames_max: u32,
    /// The streams on which a client has requests, each with whether its response has ended. Each
    /// earns control frames.
    requests: HashMap<u32, bool>,
    /// The number of those whose response has not ended.
    requests_open: usize,
    /// The peer has sent too many control frames. Nothing more is read.
    pub(crate) is_flooded: bool,
    /// How many frames the peer has sent.
    pub(crate) frames: u64,
    /// The settings of the peer have begun to arrive.
    pub(crate) has_settings: bool,
    /// The last stream that the client has opened.
    pub(crate) last_stream: u32,
    /// How many streams the client has opened.
    pub(crate) streams: u64,
    /// Since when headers are being received.
    pub(crate) headers_since: Option<Instant>,
    /// When anything was last received.
    pub(crate) received_at: Instant,
    /// When the last part of a response was written.
    pub(crate) data_written: Instant,
    /// Since when the stream accepts nothing.
    pub(crate) blocked_since: Option<Instant>,
    /// How fast the peer takes what is written.
    pub(crate) pace: Pace,
    write_bytes_per_second_min: u32,
}

impl Socket {
    pub(crate) fn new(
        stream: ByteStream,
        early: Bytes,
        peer: Sender,
        control_frames_max: u32,
        write_bytes_per_second_min: u32,
    ) -> Self {
        let now = time::now();
        let (received, sent) = match peer {
            Sender::Client => (FrameReader::of_client(), FrameReader::of_server()),
            Sender::Server => (FrameReader::of_server(), FrameReader::of_client()),
        };
        let seen = Seen {
            received,
            sent,
            control: ControlFrames::new(peer, now),
            control_frames_max,
            requests: HashMap::new(),
            requests_open: 0,
            is_flooded: false,
            frames: 0,
            has_settings: false,
            last_stream: 0,
            streams: 0,
            headers_since: None,
            received_at: now,
            data_written: now,
            blocked_since: None,
            pace: Pace::default(),
            write_bytes_per_second_min,
        };
        Self { shared: Rc::new(RefCell::new(Shared { stream, early, corked: None, seen })) }
    }

    pub(crate) fn shared(&self) -> RefMut<'_, Shared> {
        self.shared.borrow_mut()
    }
}

impl Seen {
    fn note_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { received, control, frames, has_settings, last_stream, streams, .. } = self;
        let (requests, requests_open) = (&mut self.requests, &mut self.requests_open);
        received.read(bytes, |frame| {
            *frames += 1;
            control.note_received(frame);
            if (frame.is_end_stream() || frame.kind == RST_STREAM)
                && let Some(has_ended @ false) = requests.get_mut(&frame.stream)
            {
                *has_ended = true;
                *requests_open -= 1;
            }
            match frame.kind {
                SETTINGS => *has_settings = true,
                HEADERS if frame.stream > *last_stream => {
                    *last_stream = frame.stream;
                    *streams += 1;
                }
                _ => {}
            }
        });
        let now = time::now();
        self.received_at = now;
        match self.received.is_within_headers() {
            true => _ = self.headers_since.get_or_insert(now),
            false => self.headers_since = None,
        }
        let requests = self.requests.len().try_into().unwrap_or(u32::MAX);
        let earned = EARNED_BY_MESSAGE.saturating_mul(requests);
        if self.control.exceed(self.control_frames_max.saturating_add(earned), now) {
            self.is_flooded = true;
            return Err(io::Error::other("too many control frames"));
        }
        Ok(())
    }

    /// Notes that a client begins a request on this stream.
    pub(crate) fn begin_request(&mut self, stream: u32) {
        if self.requests.insert(stream, false).is_none() {
            self.requests_open += 1;
        }
    }

    /// Notes that a client does not want any more of the response on this stream.
    pub(crate) fn end_request(&mut self, stream: u32) {
        let Some(has_ended) = self.requests.remove(&stream) else { return };
        self.control.note_request_ended();
        if !has_ended {
            self.requests_open -= 1;
        }
    }

    /// Returns on how many streams responses are waited for.
    pub(crate) const fn requests_open(&self) -> usize {
        self.requests_open
    }

    fn note_written(&mut self, bytes: &[u8]) {
        let Self { sent, control, data_written, .. } = self;
        sent.read(bytes, |frame| {
            control.note_sent(frame);
            if frame.kind == DATA && frame.length > 0 {
                *data_written = time::now();
            }
        });
    }

    fn note_accepted(&mut self, count: usize) {
        let blocked = self.blocked_since.take();
        if self.pace.is_behind() {
            let waited = blocked.map_or(Duration::ZERO, |since| time::now() - since);
            self.pace.note(waited, count, self.write_bytes_per_second_min);
        }
    }

    fn note_blocked(&mut self) {
        self.blocked_since.get_or_insert_with(time::now);
        self.pace.begin();
    }

    /// Returns when the peer will have taken too little of what is written.
    pub(crate) fn write_deadline(&self, timeout: Duration) -> Option<Instant> {
        let since = self.blocked_since?;
        let by_rate = self.pace.latest(since, self.write_bytes_per_second_min);
        [since.checked_add(timeout), by_rate].into_iter().flatten().min()
    }

    /// Returns `true` if a frame can be written without breaking another one.
    pub(crate) const fn is_between_sent_frames(&self) -> bool {
        self.sent.is_between_frames()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Shared { stream, early, corked, seen } = &mut *self.shared.borrow_mut();
        let count = if early.is_empty() {
            let waker = corked.as_ref().unwrap_or(cx.waker());
            ready!(Pin::new(stream).poll_read(&mut Context::from_waker(waker), buffer))?
        } else {
            let count = early.len().min(buffer.len());
            early.copy_to_slice(&mut buffer[..count]);
            count
        };
        seen.note_read(&buffer[..count])?;
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Shared { stream, corked, seen, .. } = &mut *self.shared.borrow_mut();
        if corked.is_some() {
            return Poll::Pending;
        }
        let Poll::Ready(written) = Pin::new(stream).poll_write_vectored(cx, data) else {
            seen.note_blocked();
            return Poll::Pending;
        };
        let written = written?;
        seen.note_accepted(written);
        let mut left = written;
        for part in data {
            let count = left.min(part.len());
            seen.note_written(&part[..count]);
            left -= count;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Shared { stream, corked, seen, .. } = &mut *self.shared.borrow_mut();
        if corked.is_some() {
            return Poll::Pending;
        }
        let flushed = Pin::new(stream).poll_flush(cx);
        // A stream that encrypts may have accepted more than its socket.
        match &flushed {
            Poll::Pending => seen.note_blocked(),
            Poll::Ready(_) => seen.note_accepted(0),
        }
        flushed
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Shared { stream, seen, .. } = &mut *self.shared.borrow_mut();
        let closed = Pin::new(stream).poll_close(cx);
        if closed.is_pending() {
            seen.note_blocked();
        }
        closed
    }
}
