//! Reading from a socket into the protocol.

use std::io;
use std::task::{Context, Poll, ready};

use crate::message::byte_stream::ByteStream;
use crate::protocol::incoming::Incoming;
use crate::transport::buffers::LoopBuffers;

/// If at least this much of a body is still to come, or its length is unknown, it is read into an
/// allocation of its own, which costs less than copying that much.
const LARGE_BODY_BYTES: u64 = 16 * 1024;

/// The size of a page. With larger ones it is as good, since they begin where these do.
const PAGE_BYTES: usize = 4096;

/// Reads once, when the selector has reported the socket as ready. Returns how many bytes were
/// read, 0 at the end of the stream.
pub(crate) fn poll_read(
    stream: &ByteStream,
    incoming: &mut Incoming,
    buffers: &LoopBuffers,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_readable(cx));
        if let Some(count) = try_read(stream, incoming, buffers)? {
            return Poll::Ready(Ok(count));
        }
        // A spurious event: wait for the next one.
    }
}

/// Reads once, whether or not the selector has reported the socket as ready. Returns how many
/// bytes were read, 0 at the end of the stream; `None` if there is nothing to read.
pub(crate) fn try_read(
    stream: &ByteStream,
    incoming: &mut Incoming,
    buffers: &LoopBuffers,
) -> io::Result<Option<usize>> {
    if matches!(incoming.body_remaining(), Some(0..LARGE_BODY_BYTES)) {
        return try_read_with(stream, buffers, |bytes| {
            incoming.receive_read(bytes);
            bytes.len()
        });
    }
    let mut data = start_of_page(incoming.body_read_bytes(buffers.read_bytes()));
    let start = data.len();
    let count = unless_blocked(stream.try_read_buf(&mut data))?;
    match count {
        Some(0) => incoming.receive_eof(),
        Some(_) => incoming.receive_owned(data, start),
        None => {}
    }
    Ok(count)
}

/// Returns memory for `size` bytes, and for what is left of a page, that is filled up to the start
/// of a page.
///
/// The system copies what was received from pages of its own. Some processors take three times as
/// long if the place within a page to which they copy is a little after the one from which they
/// copy, and large memory of the allocator begins 16 bytes after the start of a page.
fn start_of_page(size: usize) -> Vec<u8> {
    let mut data: Vec<u8> = Vec::with_capacity(size + PAGE_BYTES - 1);
    data.resize(data.as_ptr().align_offset(PAGE_BYTES), 0);
    data
}

/// Reads once into the loop's buffer, whether or not the selector has reported the socket as
/// ready, and calls `take` with the bytes; at the end of the stream, with an empty slice. Returns
/// `None` without a call if there is nothing to read.
#[inline(always)]
pub(crate) fn try_read_with<R>(
    stream: &ByteStream,
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
