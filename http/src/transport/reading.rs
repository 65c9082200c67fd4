//! Reading from a socket into the protocol.

use std::io;
use std::task::{Context, Poll, ready};

use crate::message::byte_stream::ByteStream;
use crate::protocol::incoming::Incoming;
use crate::transport::buffers::LoopBuffers;

/// If at least this much of a body is still to come, or its length is unknown, it is read into an
/// allocation of its own, which costs less than copying that much.
const LARGE_BODY_BYTES: u64 = 16 * 1024;

/// The smallest size of a page. Larger pages begin at multiples of it as well.
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

/// Returns a vector with room for at least `size` bytes, padded so that the next byte is the first
/// of a page.
///
/// Some processors copy three times slower if the offset of the target within its page is slightly
/// larger than the offset of the source. The system copies from the start of pages, and large
/// allocations begin 16 bytes after the start of a page: docs/decisions/0014-large-bodies.md.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_a_read_begins_at_a_page_and_has_the_size() {
        for size in [1, 4096, 32 * 1024, 100_000] {
            let data = start_of_page(size);
            let room = data.capacity() - data.len();
            assert!((size..size + PAGE_BYTES).contains(&room), "{room} bytes for {size}");
            assert_eq!((data.as_ptr().addr() + data.len()) % PAGE_BYTES, 0);
        }
    }
}
