//! What both sides need for the bodies of HTTP/2.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;

/// Waits for room for at most `wanted` bytes, which is more than 0. Returns how many bytes can be
/// sent now, or `None` if the stream has ended.
///
/// What is granted is taken from the window that all streams of the connection share.
pub(crate) fn poll_room(
    outgoing: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<usize>> {
    outgoing.reserve_capacity(wanted);
    loop {
        match outgoing.capacity() {
            0 => {}
            room => return Poll::Ready(Some(room)),
        }
        match ready!(outgoing.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(None),
        }
    }
}

/// Returns the size of trailers as HTTP/1.1 would send them.
pub(crate) fn trailers_size(trailers: &HeaderMap) -> usize {
    const FRAMING: usize = ": \r\n".len();
    trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + FRAMING).sum()
}
