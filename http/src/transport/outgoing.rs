//! What is on its way to the peer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use brigade_runtime::net::TcpStream;
use bytes::{Buf, Bytes};

/// Parts written with one system call at the most.
const SLICES_MAX: usize = 16;

/// Bytes that are kept with their connection until the socket takes them, in order. Without
/// memory for a connection whose peer keeps up.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Option<Box<Queue>>,
}

/// Never empty.
#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Bytes>,
    bytes: usize,
    /// The socket took less than it was given: it is to be asked whether it takes more.
    is_blocked: bool,
}

impl Outgoing {
    /// Returns `true` if the socket would not take what is kept here.
    pub(crate) fn is_blocked(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.is_blocked)
    }

    /// Returns `true` if nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// How many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Keeps `out`, which is empty afterwards, and behind it `payload`, uncopied.
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
        let queue = self.queue.get_or_insert_default();
        queue.bytes += part.len();
        queue.parts.push_back(part);
    }

    /// Writes what is kept and then `out`, which is empty afterwards: what the socket does not
    /// take is kept. Returns how many bytes it took.
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
                // Nothing is kept that is not being used.
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

/// Zero if the socket takes nothing now.
fn unless_blocked(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
