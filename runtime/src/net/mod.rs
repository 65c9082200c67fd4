//! TCP, UDP and Unix sockets of an event loop.
//!
//! A socket belongs to the loop of the thread that creates it, and stays there: it is not `Send`.
//! To move a connection to another loop, call `into_std`, send the standard library's socket to
//! that loop's thread, and call `from_std` there.
//!
//! Writes are tried at once. Reads, accepts and connects first wait for the selector to report the
//! socket as ready; from then on they are tried until one returns `WouldBlock`. Several tasks may
//! wait for one socket: all of them are woken, and each tries again.
//!
//! Listeners, and streams that connect, are registered with the selector when they are created.
//! All other sockets are registered when a task first waits to read from them or to write to them.
//! If registering fails then, the operations that would have to wait return the error. It is
//! `StorageFull` if the user's limit on watched descriptors is reached, see epoll_ctl(2).
//!
//! Reading order: `registered` (a socket and its readiness), `stream_io` and `stream` (what TCP and
//! Unix streams share), `tcp_socket` (options), `addresses` and `connect` (several addresses),
//! `tcp_stream`, `tcp_halves`, `tcp_listener`, `udp`, `udp_options`, `unix`; `peer_addr`,
//! `any_socket`, `any_stream` and `any_listener` (either TCP or Unix); `send_io`, `tokio_io`.

mod addresses;
pub(crate) mod any_listener;
pub(crate) mod any_socket;
mod connect;
mod peer_addr;
pub(crate) mod registered;
#[cfg(feature = "send")]
mod send_io;
#[macro_use]
mod stream;
mod any_stream;
mod stream_io;
mod tcp_halves;
mod tcp_listener;
mod tcp_socket;
mod tcp_stream;
#[cfg(feature = "tokio-io")]
pub(crate) mod tokio_io;
mod udp;
mod udp_options;
mod unix;

pub use any_listener::{AnyListener, Listener};
pub use any_stream::AnyStream;
pub use peer_addr::PeerAddr;
#[cfg(feature = "send")]
pub use send_io::SendIo;
pub use tcp_halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use tcp_listener::TcpListener;
pub use tcp_socket::TcpSocket;
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
pub use udp_options::UdpBuilder;
pub use unix::{UnixListener, UnixStream};
