//! Writing to a socket, and what it did not take yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use brigade_runtime::net::TcpStream;
use bytes::{Buf, Bytes};

use crate::protocol::error::EncodeError;
use crate::protocol::outgoing_body::OutgoingBody;

/// A body, or a part of one, from this length on is written from where it is, uncopied.
pub(crate) const UNCOPIED_BYTES_MIN: usize = 16 * 1024;
/// Small messages and parts are written together when they add up to this much.
pub(crate) const WRITE_BATCH_BYTES: usize = 64 * 1024;
/// Parts written with one system call at most.
const SLICES_MAX: usize = 16;

/// The bytes that a connection keeps until the socket takes them, in order. Allocates nothing for
/// a peer that keeps up.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Option<Box<Queue>>,
}

/// Never empty.
#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Bytes>,
    bytes: usize,
    /// The minimum rate at which the peer has to take them, if it was set.
    bytes_per_second_min: Option<u32>,
    /// The socket took less than it was given. More can be written when it is writable.
    is_blocked: bool,
}

impl Outgoing {
    /// Returns `true` if the socket did not take what is kept.
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

    /// Appends a part of `body` to `out`, with its framing. Keeps a large part uncopied instead,
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

    /// Keeps `out`, which is then empty, and after it `payload`, uncopied.
    fn push(&mut self, out: &mut Vec<u8>, payload: Bytes) {
        if !out.is_empty() {
            self.push_part(Bytes::copy_from_slice(out));
            out.clear();
        }
        if !payload.is_empty() {
            self.push_part(payload);
        }
    }

    fn push_part(&mut self, part: Bytes) {
        let queue = self.queue.get_or_insert_default();
        queue.bytes += part.len();
        queue.parts.push_back(part);
    }

    /// Writes what is kept, then `out`, which is then empty: what the socket does not take is kept.
    /// Returns how many bytes it took.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, stream: &TcpStream) -> io::Result<usize> {
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
        }
        out.clear();
        Ok(written)
    }

    fn write_queue(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let mut total = 0;
        while let Some(queue) = &mut self.queue {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut offered = 0;
            for (slice, part) in slices.iter_mut().zip(&queue.parts) {
                *slice = IoSlice::new(part);
                offered += part.len();
            }
            let count = queue.parts.len().min(SLICES_MAX);
            let written = unless_blocked(stream.try_write_vectored(&slices[..count]))?;
            queue.advance(written);
            total += written;
            if queue.parts.is_empty() {
                self.queue = None;
            } else if written < offered {
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
    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.parts.front_mut() {
            let of_first = written.min(first.len());
            first.advance(of_first);
            written -= of_first;
            if !first.is_empty() {
                break;
            }
            self.parts.pop_front();
        }
    }
}

/// Returns zero if the socket takes nothing now.
fn unless_blocked(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
