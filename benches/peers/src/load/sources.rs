//! The addresses that connections come from.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

/// The number of client addresses, from 127.0.0.2 on, which connections use in turn: many short
/// connections leave more ports in TIME_WAIT than one address has.
const SOURCES: usize = 64;

/// Connects to `server`. `number` is that of the connection. With `NONBLOCK` the connection may not
/// be established yet.
///
/// # Errors
/// Those of socket(2), bind(2) and connect(2).
pub(super) fn connect(
    server: SocketAddr,
    number: usize,
    flags: SocketFlags,
) -> io::Result<TcpStream> {
    let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
    let flags = flags | SocketFlags::CLOEXEC;
    let socket: OwnedFd = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    match net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}
