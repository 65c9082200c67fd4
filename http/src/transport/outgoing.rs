//! Writes to a socket, and keeps the bytes that it has not accepted yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use bytes::{Buf, Bytes};

use crate::message::byte_stream::ByteStream;
use crate::message::part::FilePart;
use crate::protocol::error::EncodeError;
use crate::protocol::outgoing_body::OutgoingBody;

/// A body, or a part of one, of at least this length is written without being copied.
pub(crate) const UNCOPIED_BYTES_MIN: usize = 16 * 1024;
/// Small messages and parts are collected, and written once they add up to this much.
pub(crate) const WRITE_BATCH_BYTES: usize = 64 * 1024;
/// The maximum number of slices written by one system call: a full queue of large parts, with the
/// framing between them. If the framing after the last part had a call of its own, it would be sent
/// in a packet of its own.
const SLICES_MAX: usize = 64;

/// The bytes that a connection keeps until the socket accepts them, in order. Allocates nothing
/// while the peer keeps up.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Option<Box<Queue>>,
}

/// Without segments while the stream has accepted everything, and keeps some of it.
#[derive(Debug, Default)]
struct Queue {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// The minimum rate at which the peer has to take them, if it was set.
    bytes_per_second_min: Option<u32>,
    /// The socket accepted only a part. The rest is written when it is writable again.
    is_blocked: bool,
}

#[derive(Debug)]
enum Segment {
    Bytes(Bytes),
    File(FilePart),
}

impl Outgoing {
    /// Returns `true` if the socket has to become writable before what is kept can be written.
    pub(crate) fn is_blocked(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.is_blocked)
    }

    /// Returns `true` if nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Returns how many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Sets the minimum rate at which the peer has to take what is kept.
    pub(crate) fn set_rate(&mut self, bytes_per_second_min: Option<u32>) {
        if let Some(queue) = &mut self.queue {
            queue.bytes_per_second_min = bytes_per_second_min;
        }
    }

    /// Returns the rate that [`set_rate`](Self::set_rate) has set for what is kept.
    pub(crate) fn rate(&self) -> Option<u32> {
        self.queue.as_ref()?.bytes_per_second_min
    }

    /// Appends a part of `body` to `out`, with its framing. A large part is not copied: it is kept,
    /// after what is in `out`.
    ///
    /// # Errors
    /// Those of [`OutgoingBody::send_data`].
    #[inline]
    pub(crate) fn send_part(
        &mut self,
        body: &mut OutgoingBody,
        part: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if part.len() < UNCOPIED_BYTES_MIN {
            return body.send_data(&part, out);
        }
        if body.begin_data(part.len(), out)? {
            self.push(out, part);
            body.end_data(out);
        }
        Ok(())
    }

    /// Appends a part of `body` that the system copies from a file, as
    /// [`send_part`](Self::send_part) does.
    ///
    /// # Errors
    /// Those of [`OutgoingBody::send_data`].
    pub(crate) fn send_file(
        &mut self,
        body: &mut OutgoingBody,
        part: FilePart,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let length = part.len();
        if body.begin_data(length, out)? {
            self.push(out, Bytes::new());
            self.push_segment(Segment::File(part), length);
            body.end_data(out);
        }
        Ok(())
    }

    /// Keeps the bytes of `out`, which is then empty, and after them `payload`, without a copy.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, payload: Bytes) {
        if !out.is_empty() {
            self.push_part(Bytes::copy_from_slice(out));
            out.clear();
        }
        if !payload.is_empty() {
            self.push_part(payload);
        }
    }

    fn push_part(&mut self, part: Bytes) {
        let length = part.len();
        self.push_segment(Segment::Bytes(part), length);
    }

    fn push_segment(&mut self, segment: Segment, length: usize) {
        let queue = self.queue.get_or_insert_default();
        queue.bytes += length;
        queue.segments.push_back(segment);
    }

    /// Writes what is kept, and then `out`. Keeps the bytes that the socket does not accept, so
    /// `out` is empty afterwards. Returns how many bytes the socket accepted.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, stream: &ByteStream) -> io::Result<usize> {
        if self.queue.is_some() {
            self.push(out, Bytes::new());
            return self.write_queue(stream);
        }
        if out.is_empty() {
            return Ok(0);
        }
        let written = unless_blocked(stream.try_write(out))?;
        if written < out.len() {
            self.push_part(Bytes::copy_from_slice(&out[written..]));
            self.block();
        } else if !is_flushed(stream)? {
            self.queue.get_or_insert_default();
            self.block();
        }
        out.clear();
        Ok(written)
    }

    fn write_queue(&mut self, stream: &ByteStream) -> io::Result<usize> {
        let mut total = 0;
        while let Some(queue) = &mut self.queue {
            if queue.segments.is_empty() {
                match is_flushed(stream)? {
                    true => self.queue = None,
                    false => self.block(),
                }
                break;
            }
            let (written, is_short) = match queue.segments.front() {
                Some(Segment::File(part)) => send_file(part, stream)?,
                _ => queue.write_bytes(stream)?,
            };
            queue.advance(written);
            total += written;
            if is_short && !queue.segments.is_empty() {
                self.block();
                break;
            }
        }
        Ok(total)
    }

    fn block(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.is_blocked = true;
        }
    }
}

impl Queue {
    /// Writes the bytes before the next part of a file. Returns how many the socket accepted, and
    /// whether that is less than was offered.
    fn write_bytes(&self, stream: &ByteStream) -> io::Result<(usize, bool)> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (mut count, mut offered) = (0, 0);
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            let Segment::Bytes(part) = segment else { break };
            *slice = IoSlice::new(part);
            offered += part.len();
            count += 1;
        }
        let written = unless_blocked(stream.try_write_vectored(&slices[..count]))?;
        Ok((written, written < offered))
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.segments.front_mut() {
            let of_first = written.min(first.len());
            first.advance(of_first);
            written -= of_first;
            if first.len() > 0 {
                break;
            }
            self.segments.pop_front();
        }
    }
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(part) => part.len(),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::File(part) => part.left.start += count as u64,
        }
    }
}

/// Sends a part of a file. Returns how many bytes the socket accepted, and whether it accepts no
/// more: a short result does not say so.
fn send_file(part: &FilePart, stream: &ByteStream) -> io::Result<(usize, bool)> {
    let Some(socket) = stream.socket() else { return Err(ErrorKind::Unsupported.into()) };
    let sent = socket.try_write_with(|socket| part.file.send(socket, &part.left));
    let written = unless_blocked(sent)?;
    Ok((written, written == 0))
}

/// Returns `false` if the stream keeps some of what it has accepted, until it is writable.
#[inline(always)]
fn is_flushed(stream: &ByteStream) -> io::Result<bool> {
    match stream.try_flush() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns zero in place of `WouldBlock`.
fn unless_blocked(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::task::{Context, Poll};

    use super::*;
    use crate::message::byte_stream::Duplex;

    /// A stream that accepts everything, and keeps the size of each write.
    #[derive(Clone, Debug, Default)]
    struct Writes(Rc<RefCell<Vec<usize>>>);

    impl Duplex for Writes {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }

        fn poll_writable(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }

        fn poll_read_closed(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }

        fn is_read_closed(&self) -> bool {
            false
        }

        fn is_write_closed(&self) -> bool {
            false
        }

        fn try_read(&self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }

        fn try_write(&self, data: &[u8]) -> io::Result<usize> {
            self.try_write_vectored(&[IoSlice::new(data)])
        }

        fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let size = slices.iter().map(|slice| slice.len()).sum();
            self.0.borrow_mut().push(size);
            Ok(size)
        }

        fn try_flush(&self) -> io::Result<()> {
            Ok(())
        }

        fn poll_close(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn reset(&self) {}

        fn abort(&self) {}
    }

    #[test]
    fn the_framing_after_the_last_part_is_written_with_the_parts() {
        const PART: &[u8] = &[0; 64 * 1024];
        let (writes, mut outgoing, mut out) = (Writes::default(), Outgoing::default(), Vec::new());
        for _ in 0..8 {
            out.extend_from_slice(b"10000\r\n");
            outgoing.push(&mut out, Bytes::from_static(PART));
            out.extend_from_slice(b"\r\n");
        }
        let size = 8 * (PART.len() + b"10000\r\n\r\n".len());
        let written = outgoing.write(&mut out, &ByteStream::Other(Box::new(writes.clone())));
        assert_eq!((written.unwrap(), outgoing.is_empty()), (size, true));
        assert_eq!(*writes.0.borrow(), [size]);
    }
}
