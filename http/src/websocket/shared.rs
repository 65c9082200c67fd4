//! The state of a WebSocket, as its driver, its handler and its halves share it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::websocket::connection::Connection;

/// The state of a WebSocket, which is borrowed for one operation at a time.
pub(super) struct Shared {
    connection: RefCell<Connection>,
}

impl Shared {
    pub(super) fn new(connection: Connection) -> Rc<Self> {
        Rc::new(Self { connection: RefCell::new(connection) })
    }

    /// Calls `operation`, and then wakes the tasks for which it has done something.
    pub(super) fn with<R>(&self, operation: impl FnOnce(&mut Connection) -> R) -> R {
        let mut connection = self.connection.borrow_mut();
        let result = operation(&mut connection);
        let released = connection.take_released();
        drop(connection);
        released.wake();
        result
    }
}

/// A reference to a WebSocket. The WebSocket is closed when the last one is dropped.
pub(super) struct Handle(Rc<Shared>);

impl Handle {
    pub(super) fn with<R>(&self, operation: impl FnOnce(&mut Connection) -> R) -> R {
        self.0.with(operation)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The driver looks whether this was the last one.
        self.with(Connection::wake_driver);
    }
}

/// A reference to a WebSocket whose messages it receives. There is one.
pub(super) struct ReceivingHandle(Handle);

impl ReceivingHandle {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self(Handle(shared))
    }

    /// Returns a handle that does not receive.
    pub(super) fn to_handle(&self) -> Handle {
        self.0.clone()
    }

    pub(super) fn with<R>(&self, operation: impl FnOnce(&mut Connection) -> R) -> R {
        self.0.with(operation)
    }
}

impl Drop for ReceivingHandle {
    fn drop(&mut self) {
        self.with(|connection| {
            connection.is_deaf = true;
            connection.wake_driver();
        });
    }
}

impl fmt::Debug for ReceivingHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|connection| {
            f.debug_struct("WebSocket")
                .field("stream", &connection.stream)
                .field("is_closing", &connection.close_sent.is_some())
                .finish_non_exhaustive()
        })
    }
}
