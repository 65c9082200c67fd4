//! Opens files for serving.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Does not wait for the other end of a pipe, and takes no terminal as that of the process.
pub(super) const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// An open regular file.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) source: Source,
    pub(super) metadata: Metadata,
}

/// Where the content of a file is.
#[derive(Debug)]
pub(super) enum Source {
    File(File),
    Memory(Bytes),
}

impl OpenFile {
    /// Looks up what `file` is, after it was opened, so that it cannot be replaced in between.
    ///
    /// # Errors
    /// `NotFound` if it is not a regular file, `IsADirectory` if it is a directory.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        match metadata.is_file() {
            true => Ok(Self { source: Source::File(file), metadata }),
            false if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Opens the regular file at `path`. Blocks.
///
/// # Errors
/// Those of [`OpenFile::new`] and of open(2).
pub(super) fn open(path: &Path) -> io::Result<OpenFile> {
    let flags = FILE_FLAGS.bits() as i32;
    OpenFile::new(File::options().read(true).custom_flags(flags).open(path)?)
}

/// Opens the regular file at `path`, an absolute path without symbolic links. Returns `None` if the
/// file that was opened is not at that path any more, because it, or a directory above it, has been
/// replaced. Blocks.
///
/// # Errors
/// As for [`open`].
pub(super) fn open_resolved(path: &Path) -> io::Result<Option<OpenFile>> {
    let opened = open(path)?;
    let there = fs::symlink_metadata(path)?;
    let is_same = (there.dev(), there.ino()) == (opened.metadata.dev(), opened.metadata.ino());
    Ok((is_same && fs::canonicalize(path)? == path).then_some(opened))
}

/// Returns `true` for an error that says that there is no file to serve at a path.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    let is_kind = matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            // The name is too long, or contains NUL.
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    );
    // A loop of symbolic links; a socket, or a device that does not exist.
    const CODES: [Errno; 4] = [Errno::LOOP, Errno::NXIO, Errno::NODEV, Errno::OPNOTSUPP];
    is_kind || CODES.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}
