//! Reading from a socket into the protocol.

use std::io;
use std::task::{Context, Poll, ready};

use brigade_runtime::net::TcpStream;

use crate::protocol::incoming::Incoming;
use crate::transport::buffers::LoopBuffers;

/// A body of which this much is still to come, or of unknown length, is read into memory of its
/// own: to allocate that costs less than to copy so much.
const LARGE_BODY_BYTES: u64 = 16 * 1024;

/// Reads once, as soon as the selector has reported something. Returns how many bytes were read,
/// 0 at the end of the stream.
pub(crate) fn poll_read(
    stream: &TcpStream,
    incoming: &mut Incoming,
    buffers: &LoopBuffers,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_readable(cx));
        if let Some(count) = try_read(stream, incoming, buffers)? {
            return Poll::Ready(Ok(count));
        }
        // The report was wrong: wait for the next one.
    }
}

/// Reads once, whether or not the selector has reported anything. Returns how many bytes were
/// read, 0 at the end of the stream; `None` if nothing is there.
pub(crate) fn try_read(
    stream: &TcpStream,
    incoming: &mut Incoming,
    buffers: &LoopBuffers,
) -> io::Result<Option<usize>> {
    if matches!(incoming.body_remaining(), Some(0..LARGE_BODY_BYTES)) {
        return try_read_with(stream, buffers, |bytes| {
            incoming.receive_read(bytes);
            bytes.len()
        });
    }
    let mut data = Vec::with_capacity(buffers.read_bytes());
    let count = unless_blocked(stream.try_read_buf(&mut data))?;
    match count {
        Some(0) => incoming.receive_eof(),
        Some(_) => incoming.receive_owned(data),
        None => {}
    }
    Ok(count)
}

/// Reads once into the loop's buffer, whether or not the selector has reported anything, and
/// calls `take` with what was read: nothing at the end of the stream. Returns `None` without a
/// call if nothing is there.
#[inline(always)]
pub(crate) fn try_read_with<R>(
    stream: &TcpStream,
    buffers: &LoopBuffers,
    take: impl FnOnce(&[u8]) -> R,
) -> io::Result<Option<R>> {
    let mut buffer = buffers.read_buffer();
    let count = unless_blocked(stream.try_read(&mut buffer))?;
    Ok(count.map(|count| take(&buffer[..count])))
}

#[inline(always)]
fn unless_blocked(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
