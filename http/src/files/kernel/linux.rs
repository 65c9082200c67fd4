//! Opens names below a directory in one step, and opens and reads what needs no disk.
//!
//! What the kernel cannot do, because it is too old or a sandbox does not allow the call, is found
//! out once for the process.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, openat2, sendfile};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::files::open::FILE_FLAGS;
use crate::message::file_error::FileError;
use crate::message::part::SendFile;

/// The flags of a directory that is opened to find names below it.
const ROOT_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Names below a directory, and no symbolic links. A path with a link is looked at step by step,
/// since where it leads decides whether the file may be served, and which type it has.
const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// File systems that open a file without asking another machine or process (statfs(2)): ext, XFS,
/// Btrfs, F2FS, ZFS, bcachefs, EROFS, SquashFS, overlayfs, tmpfs, ramfs.
const LOCAL_FILE_SYSTEMS: [u32; 11] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0xe0f5_e1e2,
    0x7371_7368,
    0x794c_7630,
    0x0102_1994,
    0x8584_58f6,
];

/// The kernel reads files ahead in pieces of about this size, and drops such a piece as a whole
/// or not much later.
const PROBE_BYTES: usize = 64 * 1024;

/// The errors of sendfile(2) that are about the socket, or about memory. It does not say which of
/// its descriptors has failed, and file systems may fail with any other code.
const OF_SOCKETS: [Errno; 18] = [
    Errno::AGAIN,
    Errno::INTR,
    Errno::PIPE,
    Errno::CONNRESET,
    Errno::CONNABORTED,
    Errno::CONNREFUSED,
    Errno::NOTCONN,
    Errno::TIMEDOUT,
    Errno::HOSTUNREACH,
    Errno::HOSTDOWN,
    Errno::NETUNREACH,
    Errno::NETDOWN,
    Errno::NETRESET,
    Errno::PROTO,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::PERM,
    Errno::ACCESS,
];

/// What openat2(2) can do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Support {
    None,
    /// It resolves names below a directory (since Linux 5.6).
    Below,
    /// It also fails instead of waiting for a disk (since Linux 5.12).
    Cached,
}

impl Support {
    /// Finds it out with the first call.
    fn of_kernel() -> Self {
        static KNOWN: OnceLock<Support> = OnceLock::new();
        *KNOWN.get_or_init(|| {
            match openat2(CWD, "/", ROOT_FLAGS, Mode::empty(), ResolveFlags::CACHED) {
                Err(Errno::NOSYS | Errno::PERM) => Self::None,
                Err(Errno::INVAL) => Self::Below,
                _ => Self::Cached,
            }
        })
    }
}

/// An open directory, below which names are opened.
#[derive(Debug)]
pub(in crate::files) struct Root {
    directory: OwnedFd,
    /// Opening what the kernel has cached does not wait.
    opens_now: bool,
}

impl Root {
    /// Opens the directory at `path`. Returns `None` if the kernel cannot find names below it.
    ///
    /// # Errors
    /// Those of openat2(2).
    pub(in crate::files) fn open(path: &Path) -> io::Result<Option<Self>> {
        match Support::of_kernel() {
            Support::None => Ok(None),
            _ => Ok(Some(Self::of(openat2(
                CWD,
                path,
                ROOT_FLAGS,
                Mode::empty(),
                ResolveFlags::empty(),
            )?))),
        }
    }

    /// Opens the directory at `path`, unless that fails or may wait.
    pub(in crate::files) fn open_now(path: &Path) -> Option<Self> {
        if Support::of_kernel() != Support::Cached {
            return None;
        }
        openat2(CWD, path, ROOT_FLAGS, Mode::empty(), ResolveFlags::CACHED).ok().map(Self::of)
    }

    fn of(directory: OwnedFd) -> Self {
        let opens_now = Support::of_kernel() == Support::Cached && is_local(&directory);
        Self { directory, opens_now }
    }

    /// Opens the file at `name`, a relative path without symbolic links. Blocks.
    ///
    /// # Errors
    /// `ELOOP` if there is a symbolic link, and the errors of openat2(2).
    pub(in crate::files) fn file(&self, name: &Path) -> io::Result<File> {
        Ok(openat2(&self.directory, name, FILE_FLAGS, Mode::empty(), BELOW)?.into())
    }

    /// Opens the file at `name`, as [`file`](Self::file) does, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if that may wait, or if the error does not show that there is no such file.
    pub(in crate::files) fn file_now(&self, name: &Path) -> io::Result<File> {
        if !self.opens_now {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let resolve = BELOW | ResolveFlags::NO_XDEV | ResolveFlags::CACHED;
        match openat2(&self.directory, name, FILE_FLAGS, Mode::empty(), resolve) {
            Ok(file) => Ok(file.into()),
            Err(error @ (Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG)) => Err(error.into()),
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Opens the file at `path` unless that fails or may wait.
pub(in crate::files) fn open_now(path: &Path) -> Option<File> {
    if Support::of_kernel() != Support::Cached {
        return None;
    }
    // Opening a file may wait for the machine or process that has it. Looking it up does not.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let there = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
    if !is_local(&there) {
        return None;
    }
    openat2(CWD, path, FILE_FLAGS, Mode::empty(), ResolveFlags::CACHED).ok().map(File::from)
}

fn is_local(file: &OwnedFd) -> bool {
    fstatfs(file).is_ok_and(|system| {
        u32::try_from(system.f_type).is_ok_and(|kind| LOCAL_FILE_SYSTEMS.contains(&kind))
    })
}

/// Reads up to `length` bytes at `offset` of `file`, those that are in the page cache. Returns
/// `None` if none are cached, or if the kernel or the file system does not support the question.
///
/// # Errors
/// `UnexpectedEof` if the file ends at `offset` or before it, and the errors of preadv2(2).
pub(in crate::files) fn read_now(
    file: &File,
    offset: u64,
    length: usize,
) -> io::Result<Option<Bytes>> {
    let mut chunk = vec![0; length];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut chunk)], offset, ReadWriteFlags::NOWAIT);
    match read {
        Ok(0) if length > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            chunk.truncate(count);
            Ok(Some(chunk.into()))
        }
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns `true` if all of `part` of `file` is in the page cache, as far as a byte in each piece
/// of [`PROBE_BYTES`] shows.
pub(in crate::files) fn is_cached(file: &File, part: &Range<u64>) -> bool {
    let mut byte = [0];
    let length = part.end - part.start;
    // From the end: what is read is read from the start.
    (0..length).step_by(PROBE_BYTES).all(|before_end| {
        let offset = part.end - 1 - before_end;
        preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) == Ok(1)
    })
}

/// Returns `true` if the process ignores SIGPIPE, as Rust programs do unless they change it.
/// sendfile(2) to a client that has gone raises that signal, and has no flag against it.
pub(in crate::files) fn can_send() -> bool {
    static IGNORED: LazyLock<bool> = LazyLock::new(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        ignores_sigpipe(&status)
    });
    *IGNORED
}

/// Parses the mask of ignored signals (proc_pid_status(5)).
fn ignores_sigpipe(status: &str) -> bool {
    const SIGPIPE: u32 = 13;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (SIGPIPE - 1) != 0)
}

impl SendFile for File {
    fn send(&self, socket: BorrowedFd<'_>, part: &Range<u64>) -> io::Result<usize> {
        let mut offset = part.start;
        match sendfile(socket, self, Some(&mut offset), (part.end - part.start) as usize) {
            Ok(0) => Err(FileError::Shortened.into()),
            Ok(sent) => Ok(sent),
            Err(error) if OF_SOCKETS.contains(&error) => Err(error.into()),
            Err(error) => Err(FileError::Unreadable(error.into()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::files::open::is_no_file;

    #[test]
    fn files_are_sent_by_the_kernel_only_if_sigpipe_is_ignored() {
        assert!(can_send(), "Rust ignores it");
        assert!(ignores_sigpipe("Name:\ta\nSigIgn:\t0000000000001000\nSigCgt:\t0\n"));
        assert!(!ignores_sigpipe("SigIgn:\t0000000000000000\nSigCgt:\t0000000000001000\n"));
        assert!(!ignores_sigpipe(""));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_apart_from_a_client_that_has_gone() {
        let file = File::open("/proc/self/exe").unwrap();
        // The address 0 of a process cannot be read.
        let unreadable = File::open("/proc/self/mem").unwrap();
        let length = file.metadata().unwrap().len();
        let (socket, peer) = UnixStream::pair().unwrap();
        let send = |file: &File, part| SendFile::send(file, socket.as_fd(), &part).unwrap_err();
        let error = send(&unreadable, 0..100);
        assert!(matches!(FileError::of(&error), Some(FileError::Unreadable(_))), "{error:?}");
        let error = send(&file, length..length + 100);
        assert!(matches!(FileError::of(&error), Some(FileError::Shortened)), "{error:?}");
        drop(peer);
        let error = send(&file, 0..100);
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(FileError::of(&error).is_none(), "{error:?}");
    }

    #[test]
    fn an_error_that_shows_that_there_is_no_file_is_a_404() {
        for error in [Errno::NOENT, Errno::NOTDIR, Errno::NAMETOOLONG] {
            assert!(is_no_file(&error.into()), "{error}");
        }
    }
}
