//! The error of a file that is being sent, as it is told apart from those of the socket.

use std::error::Error;
use std::fmt;
use std::io;

/// Why no more of a file can be sent. The socket is not to blame.
#[derive(Debug)]
pub(crate) enum FileError {
    /// The file has fewer bytes than it had when the response began.
    Shortened,
    /// The system cannot read it.
    Unreadable(io::Error),
}

impl FileError {
    /// Returns the error within `error`, if the cause is a file.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        let kind = match &error {
            FileError::Shortened => io::ErrorKind::UnexpectedEof,
            // The kind of the cause could be one that means something for a socket.
            FileError::Unreadable(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shortened => f.write_str("the file became shorter while it was sent"),
            Self::Unreadable(error) => write!(f, "cannot read the file: {error}"),
        }
    }
}

/// Its text contains its cause.
impl Error for FileError {}
