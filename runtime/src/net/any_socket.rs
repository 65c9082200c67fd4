//! A connected socket of either kind, for any thread.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::SockRef;

/// A connected TCP socket or Unix socket that is non-blocking.
///
/// It is no enum of two sockets, so that reads and writes need not look at the kind.
#[derive(Debug)]
pub struct AnySocket {
    fd: OwnedFd,
    is_unix: bool,
}

impl AnySocket {
    pub(crate) fn tcp(fd: OwnedFd) -> Self {
        Self { fd, is_unix: false }
    }

    pub(crate) fn unix(fd: OwnedFd) -> Self {
        Self { fd, is_unix: true }
    }

    pub(super) fn is_unix(&self) -> bool {
        self.is_unix
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for AnySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
