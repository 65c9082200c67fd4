//! The file of a Unix socket that a server listens at.
//!
//! The file of a process that has died is replaced. That of a process that listens, and a file that
//! is no socket, is never touched. A server removes the file before it closes the socket.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::net::TcpListener;

/// Where a server listens at a Unix socket: the path of the socket file, and its permissions.
///
/// # Examples
/// ```no_run
/// use brigade_runtime::server::{TcpServer, UnixPath};
///
/// # fn main() -> std::io::Result<()> {
/// // Only processes of the same user or group can connect.
/// let server = TcpServer::bind_unix(UnixPath::new("/run/app.sock").mode(0o660))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UnixPath {
    path: PathBuf,
    mode: Option<u32>,
}

impl UnixPath {
    /// Returns the path of a socket file, whose permissions are those that the process gives to new
    /// files (umask(2)).
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mode: None }
    }

    /// Sets the permissions of the socket file, such as `0o660`. A process that may write to the
    /// file may connect (unix(7)). Nobody can connect before they are set.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Creates the socket file and listens there. The socket is non-blocking.
    ///
    /// # Errors
    /// `AddrInUse` if a process listens there, or if there is a file that is no socket. The message
    /// names the path.
    pub(super) fn listen(&self) -> io::Result<(UnixListener, SocketFile)> {
        self.try_listen().map_err(|error| {
            let path = self.path.display();
            io::Error::new(error.kind(), format!("cannot listen at {path}: {error}"))
        })
    }

    fn try_listen(&self) -> io::Result<(UnixListener, SocketFile)> {
        // The file is removed later, when the process may be in another folder.
        let path = path::absolute(&self.path)?;
        let _lock = lock_folder(&path);
        remove_abandoned(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(&self.path)?)?;
        let file = SocketFile::new(path)?;
        if let Some(mode) = self.mode {
            fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
        }
        // Only from here on can anybody connect.
        socket.listen(TcpListener::BACKLOG.try_into().unwrap_or(i32::MAX))?;
        Ok((socket.into(), file))
    }
}

impl<P: Into<PathBuf>> From<P> for UnixPath {
    fn from(path: P) -> Self {
        Self::new(path)
    }
}

/// How long to wait for another process that creates a socket file in the same folder. It takes
/// only a few system calls. After that, the file is created all the same.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Locks the folder of `path` (flock(2)), so that two servers that start at the same time do not
/// replace each other's files: one that is bound and does not listen yet looks abandoned. Returns
/// `None` where that is not possible, in a folder that may not be read for instance.
fn lock_folder(path: &Path) -> Option<File> {
    let folder = File::open(path.parent()?).ok()?;
    for _ in 0..LOCK_ATTEMPTS {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Removes the socket file at `path` if no process listens there any more.
///
/// # Errors
/// `AddrInUse` if a process listens there, or if there is a file that is no socket.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    let in_use = |reason| Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => in_use("there is a file that is no socket"),
        Ok(_) if is_abandoned(path)? => fs::remove_file(path),
        Ok(_) => in_use("another socket listens there"),
    }
}

/// Returns `true` if connections to the socket file are refused. A process that listens and has no
/// room in its backlog, or forbids this one to connect, causes other errors (connect(2)).
fn is_abandoned(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let connected = socket.connect(&SockAddr::unix(path)?);
    Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

/// The file of a socket that listens. Removed when dropped, unless it was replaced.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Distinguishes files that have had the same path: device, inode and time of creation, since
/// inodes are reused. Changing the owner or the permissions changes none of them.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    fn new(path: PathBuf) -> io::Result<Self> {
        let identity = identity(&path)?;
        Ok(Self { path, identity })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _lock = lock_folder(&self.path);
        if identity(&self.path).ok() != Some(self.identity) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(target: "brigade::server", %path, %error, "socket file not removed");
        }
    }
}
