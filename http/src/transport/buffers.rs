//! The buffers that the connections of a loop share.

use std::cell::{Cell, RefCell, RefMut};

/// A write buffer that has grown beyond this is not kept.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// One read buffer and one write buffer for all connections of a loop, so that a connection that
/// waits owns none.
pub(crate) struct LoopBuffers {
    /// Allocated and initialized by the first read.
    read: RefCell<Vec<u8>>,
    read_bytes: usize,
    /// `None` while a connection is polled: it has taken the buffer.
    write: Cell<Vec<u8>>,
}

impl LoopBuffers {
    /// Returns buffers that read at most `read_bytes` at once.
    pub(crate) fn new(read_bytes: usize) -> Self {
        Self { read: RefCell::default(), read_bytes: read_bytes.max(1), write: Cell::default() }
    }

    /// Returns the largest number of bytes that one read returns. Never zero.
    pub(crate) const fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    /// Borrows the read buffer. All of its length may be overwritten.
    #[inline]
    pub(crate) fn read_buffer(&self) -> RefMut<'_, Vec<u8>> {
        let mut buffer = self.read.borrow_mut();
        if buffer.is_empty() {
            *buffer = vec![0; self.read_bytes];
        }
        buffer
    }

    /// Takes the write buffer, which is empty. Return it with
    /// [`give_write_buffer`](Self::give_write_buffer).
    pub(crate) fn take_write_buffer(&self) -> Vec<u8> {
        self.write.take()
    }

    /// Takes the write buffer back from a connection.
    pub(crate) fn give_write_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= WRITE_BUFFER_BYTES_MAX {
            buffer.clear();
            self.write.set(buffer);
        }
    }
}
