//! The bytes received and not decoded yet.

// std
use std::{fmt, mem, ops};

// crates
use bytes::{Buf, Bytes, BytesMut};

/// A receive buffer that owns memory only while it holds something.
///
/// What is appended to an empty one lands in an allocation of exactly its size, so that taking
/// all of it out again as [`Bytes`] hands that allocation on, without a second one.
#[derive(Default)]
pub(crate) struct ReceiveBuffer {
    bytes: BytesMut,
}

impl ReceiveBuffer {
    /// Copies `data` behind what is there.
    pub(crate) fn append(&mut self, data: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::from(data);
        } else {
            self.bytes.extend_from_slice(data);
        }
    }

    /// Takes the first `count` bytes out, without copying them.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if count == self.bytes.len() {
            mem::take(&mut self.bytes).freeze()
        } else {
            self.bytes.split_to(count).freeze()
        }
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn skip(&mut self, count: usize) {
        if count == self.bytes.len() {
            self.clear();
        } else {
            self.bytes.advance(count);
        }
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }

    /// Takes everything out, to be appended to by its new owner.
    pub(crate) fn take_all(&mut self) -> BytesMut {
        mem::take(&mut self.bytes)
    }
}

impl ops::Deref for ReceiveBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for ReceiveBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}
