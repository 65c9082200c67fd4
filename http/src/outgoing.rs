//! What a socket would not take yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use brigade_runtime::net::TcpStream;
use bytes::{Buf, Bytes};

/// Bytes on their way out that are kept with their connection, in order. Without memory for a
/// connection whose peer keeps up.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: VecDeque<Bytes>,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Writes what waits, then `out`, then `payload`. `out` is empty afterwards: what the socket
    /// did not take is kept. Returns how many bytes it took.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        payload: Bytes,
        stream: &TcpStream,
    ) -> io::Result<usize> {
        let mut total = self.write_queue(stream)?;
        if self.is_empty() {
            total += write_two(out, payload, stream, &mut self.queue)?;
        } else {
            keep(out, &mut self.queue);
            keep_payload(payload, &mut self.queue);
        }
        out.clear();
        Ok(total)
    }

    fn write_queue(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let mut total = 0;
        while let Some(first) = self.queue.front_mut() {
            let Some(written) = unless_blocked(stream.try_write(first))? else { return Ok(total) };
            total += written;
            first.advance(written);
            if first.is_empty() {
                self.queue.pop_front();
            }
        }
        // Nothing is kept that is not being used.
        self.queue = VecDeque::new();
        Ok(total)
    }
}

fn write_two(
    out: &[u8],
    mut payload: Bytes,
    stream: &TcpStream,
    queue: &mut VecDeque<Bytes>,
) -> io::Result<usize> {
    let mut total = 0;
    while total < out.len() || !payload.is_empty() {
        let rest = &out[total.min(out.len())..];
        let written = match (rest, &payload[..]) {
            (rest, []) => stream.try_write(rest),
            ([], payload) => stream.try_write(payload),
            (rest, payload) => {
                stream.try_write_vectored(&[IoSlice::new(rest), IoSlice::new(payload)])
            }
        };
        let Some(written) = unless_blocked(written)? else {
            keep(rest, queue);
            keep_payload(payload, queue);
            break;
        };
        payload.advance(written.saturating_sub(rest.len()));
        total += written;
    }
    Ok(total)
}

fn keep(out: &[u8], queue: &mut VecDeque<Bytes>) {
    if !out.is_empty() {
        queue.push_back(Bytes::copy_from_slice(out));
    }
}

fn keep_payload(payload: Bytes, queue: &mut VecDeque<Bytes>) {
    if !payload.is_empty() {
        queue.push_back(payload);
    }
}

/// `None` if the socket takes nothing now.
fn unless_blocked(written: io::Result<usize>) -> io::Result<Option<usize>> {
    match written {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Ok(written) => Ok(Some(written)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
