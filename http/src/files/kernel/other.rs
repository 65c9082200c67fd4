//! Systems without openat2(2) and preadv2(2): everything is done on threads, step by step.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::Path;

use bytes::Bytes;

use crate::message::part::SendFile;

/// An open directory. It is never created on this system.
#[derive(Debug)]
pub(in crate::files) struct Root(Infallible);

impl Root {
    /// Returns `None`: the caller has to look at each part of the path.
    pub(in crate::files) fn open(_path: &Path) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Returns `None`: opening may wait.
    pub(in crate::files) fn open_now(_path: &Path) -> Option<Self> {
        None
    }

    /// Never called.
    pub(in crate::files) fn file(&self, _name: &Path) -> io::Result<File> {
        match self.0 {}
    }

    /// Never called.
    pub(in crate::files) fn file_now(&self, _name: &Path) -> io::Result<File> {
        match self.0 {}
    }
}

/// Returns `None`: opening may wait.
pub(in crate::files) fn open_now(_path: &Path) -> Option<File> {
    None
}

/// Returns `None`: reading may wait.
pub(in crate::files) fn read_now(
    _file: &File,
    _offset: u64,
    _length: usize,
) -> io::Result<Option<Bytes>> {
    Ok(None)
}

/// Returns `false`: the system does not send files.
pub(in crate::files) fn can_send() -> bool {
    false
}

/// Returns `false`: sending may wait.
pub(in crate::files) fn is_cached(_file: &File, _part: &Range<u64>) -> bool {
    false
}

impl SendFile for File {
    /// Never called.
    fn send(&self, _socket: BorrowedFd<'_>, _part: &Range<u64>) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
