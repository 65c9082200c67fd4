//! Sockets of a loop.
//!
//! Each belongs to the loop of the thread that makes it, and stays on it. To hand a connection to
//! another loop, take the standard library's socket out with `into_std`, send that, and make a new
//! one there with `from_std`.
//!
//! What is to be written is tried first; to read, to accept and to connect the selector is heard
//! first, until the socket is found to be drained. Several tasks may wait on one socket; all are
//! woken, and each tries again.
//!
//! Listeners, and streams that connect, are registered with the selector at once; all others when
//! something is to be read from them, or has to wait to be written. If that fails (`StorageFull` if
//! the user may not watch more, see epoll_ctl(2)), whatever would wait returns the error.

#[macro_use]
mod stream;
mod registered;
mod tcp;
mod udp;
mod unix;

pub(crate) use tcp::{BACKLOG, share_port};
pub use tcp::{
    OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpListener, TcpStream, WriteHalf, listen, listen_on,
    listen_reuse_port,
};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
