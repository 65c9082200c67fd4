//! Opens connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use brigade_runtime::net::{TcpStream, UnixStream};
use brigade_runtime::time;

use crate::client::exchange::Outline;
use crate::client::pool::{Link, LoopClient};
use crate::client::target::Target;
use crate::message::client_error::{ClientErrorKind, TimeoutKind};

/// Opens a connection for this request, within its timeouts.
pub(super) async fn connect(
    client: &Rc<LoopClient>,
    outline: &Outline,
) -> Result<Link, ClientErrorKind> {
    let options = &client.options;
    let mut timeout = (TimeoutKind::Connect, options.connect_timeout);
    let mut left = timeout.1;
    if let Some((limit, deadline)) = outline.deadline {
        let rest = deadline.saturating_duration_since(time::now());
        if rest < left {
            (timeout, left) = ((TimeoutKind::Total, limit), rest);
        }
    }
    match time::timeout(left, open(options.unix_socket.as_deref(), &outline.target)).await {
        Ok(Ok(stream)) => {
            client.opened.update(|opened| opened + 1);
            Ok(Link::new(stream, outline.target.host_and_port.clone()))
        }
        Ok(Err(error)) => Err(ClientErrorKind::Connect(error)),
        Err(_) => Err(ClientErrorKind::Timeout(timeout.0, timeout.1)),
    }
}

/// Connects. Only a name needs a lookup, which runs on another thread.
async fn open(unix_socket: Option<&Path>, target: &Target) -> io::Result<TcpStream> {
    if let Some(path) = unix_socket {
        return open_unix(path).await;
    }
    match target.host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect_to(SocketAddr::new(address, target.port)).await,
        Err(_) => TcpStream::connect((target.host.clone(), target.port)).await,
    }
}

/// Connects to a Unix socket. The result has the type of a TCP connection, so that nothing else in
/// the client has to know about the difference: a connected stream socket is read, written, polled
/// and closed by the same system calls, whatever its family (socket(7)).
async fn open_unix(path: &Path) -> io::Result<TcpStream> {
    let stream = UnixStream::connect(path).await.and_then(UnixStream::into_std);
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    Ok(TcpStream::from_nonblocking(OwnedFd::from(stream.map_err(named)?).into()))
}
