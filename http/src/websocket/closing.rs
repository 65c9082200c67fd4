//! The end of a WebSocket, when its handler is done.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use brigade_runtime::time::{self, timeout};

use crate::websocket::buffers::with_read_buffer;
use crate::websocket::close_code::CloseCode;
use crate::websocket::connection::Connection;
use crate::websocket::shared::Shared;

/// How long the bytes of a peer that was sent a close frame are read, in all. Otherwise they would
/// reset the connection, and the peer might lose that frame.
const LINGER: Duration = Duration::from_secs(5);
/// The longest silence of a peer that has sent its close frame, after which it may send nothing.
const LINGER_QUIET: Duration = Duration::from_millis(250);
/// How many of these bytes are read. A peer that sends more does not look for a close frame.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Closes a WebSocket with `code`, unless it is closed: exchanges the close frames, closes the
/// sending side, and waits until the peer closes its own (RFC 6455 section 7.1.1).
pub(super) async fn finish(shared: Rc<Shared>, code: CloseCode) {
    close(&shared, code).await;
    shared.with(Connection::release);
}

async fn close(shared: &Shared, code: CloseCode) {
    shared.with(|connection| connection.start_close(code));
    poll_fn(|cx| shared.with(|connection| connection.poll_closed(cx))).await;
    if poll_fn(|cx| shared.with(|connection| connection.poll_end_sending(cx))).await.is_err() {
        // The connection is gone.
        return;
    }
    let ends = time::now() + LINGER;
    let gap = shared.with(|connection| connection.linger_gap());
    let mut bytes_left = LINGER_BYTES_MAX;
    while bytes_left > 0 && time::now() < ends {
        let read = poll_fn(|cx| shared.with(|connection| connection.poll_discard_read(cx)));
        match timeout(gap, read).await {
            Ok(Some(count)) => bytes_left = bytes_left.saturating_sub(count),
            // The peer has closed the connection, or is silent.
            Ok(None) | Err(_) => return,
        }
    }
}

impl Connection {
    /// Polls until both close frames were exchanged, and discards the messages before the peer's.
    /// Ready also if the connection fails.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.is_deaf = true;
        self.poll_drive(cx);
        match self.is_closed() && self.outgoing.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Closes the sending side.
    fn poll_end_sending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.is_dead {
            true => Poll::Ready(Err(ErrorKind::NotConnected.into())),
            false => self.stream().poll_close(cx),
        }
    }

    /// Returns how long the peer may be silent before the connection is closed.
    const fn linger_gap(&self) -> Duration {
        if self.is_close_received { LINGER_QUIET } else { LINGER }
    }

    /// Polls for bytes, and discards them. Returns their number, or `None` at the end.
    fn poll_discard_read(&self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        loop {
            ready!(self.stream().poll_readable(cx));
            match with_read_buffer(|buffer| self.stream().try_read(buffer)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return Poll::Ready(None),
                Ok(count) => return Poll::Ready(Some(count)),
            }
        }
    }
}
