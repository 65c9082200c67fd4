//! Opens files for serving. All of this blocks.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// An open regular file.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

/// Opens the regular file at `path`. What it is, is looked up after opening, so that it cannot be
/// replaced in between. Does not wait for the other end of a pipe.
///
/// # Errors
/// `NotFound` if it is not a regular file, and the errors of open(2).
pub(super) fn open(path: &Path) -> io::Result<OpenFile> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok(OpenFile { file, metadata }),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Opens the regular file at `path`, an absolute path without symbolic links. Returns `None` if the
/// file that was opened is not at that path any more, because it, or a directory above it, has been
/// replaced.
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
