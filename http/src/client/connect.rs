//! Opens connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;

use brigade_runtime::net::{AnyStream, TcpStream, UnixStream};
use brigade_runtime::time;

use crate::client::exchange::Outline;
use crate::client::options::Options;
use crate::client::pool::{Link, LoopClient};
use crate::client::target::Target;
use crate::message::byte_stream::ByteStream;
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
    match time::timeout(left, open(options, &outline.target)).await {
        Ok(Ok(stream)) => {
            client.opened.update(|opened| opened + 1);
            Ok(Link::new(stream, outline.target.origin.clone()))
        }
        Ok(Err(error)) => Err(ClientErrorKind::Connect(error)),
        Err(_) => Err(ClientErrorKind::Timeout(timeout.0, timeout.1)),
    }
}

/// Connects, and for `https` encrypts.
async fn open(options: &Options, target: &Target) -> io::Result<ByteStream> {
    let socket = open_socket(options.unix_socket.as_deref(), target).await?;
    if !target.is_https {
        return Ok(ByteStream::Socket(socket));
    }
    // Without the feature `tls` there is no such target.
    let encryption = options.encryption.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    encryption.encrypt(socket, &target.host).await
}

/// Connects. Only a name needs a lookup, which runs on another thread.
async fn open_socket(unix_socket: Option<&Path>, target: &Target) -> io::Result<AnyStream> {
    if let Some(path) = unix_socket {
        return open_unix(path).await;
    }
    let connected = match target.host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect_to(SocketAddr::new(address, target.port)).await,
        Err(_) => TcpStream::connect((target.host.clone(), target.port)).await,
    };
    connected.map(AnyStream::from)
}

/// Connects to a Unix socket.
async fn open_unix(path: &Path) -> io::Result<AnyStream> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    UnixStream::connect(path).await.map(AnyStream::from).map_err(named)
}
