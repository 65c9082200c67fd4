//! The buffers that the WebSockets of a loop share, so that one that waits owns none.

use std::cell::{Cell, RefCell};

/// How much is read from a socket at once.
const READ_BYTES: usize = 64 * 1024;
/// A write buffer that has grown beyond this is not kept.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    /// Allocated and initialized by the first read.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Empty while a WebSocket has taken it.
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `read` with the loop's read buffer, all of whose length may be overwritten.
pub(super) fn with_read_buffer<R>(read: impl FnOnce(&mut [u8]) -> R) -> R {
    READ.with_borrow_mut(|buffer| {
        if buffer.is_empty() {
            *buffer = vec![0; READ_BYTES];
        }
        read(buffer)
    })
}

/// Takes the loop's write buffer, or an empty one if another WebSocket has it.
pub(super) fn take_write_buffer() -> Vec<u8> {
    WRITE.take()
}

/// Takes the write buffer, whose bytes are written, back from a WebSocket.
pub(super) fn give_write_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() <= WRITE_BUFFER_BYTES_MAX {
        buffer.clear();
        WRITE.set(buffer);
    }
}
