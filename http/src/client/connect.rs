//! Opens connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use brigade_runtime::net::{AnyStream, TcpStream, UnixStream};
use brigade_runtime::time;

use crate::client::encryption::Opened;
use crate::client::exchange::{Exchange, Outline};
use crate::client::options::Options;
use crate::client::pool::LoopClient;
use crate::client::target::Target;
use crate::message::byte_stream::ByteStream;
use crate::message::client_error::{ClientErrorKind, TimeoutKind};

/// What a request is sent over.
#[cfg_attr(not(all(feature = "tls", feature = "http2")), expect(dead_code, reason = "no HTTP/2"))]
pub(super) enum Connected {
    /// A new connection.
    Http1(ByteStream),
    /// A stream of a connection of HTTP/2, which may have been there before.
    Http2 { exchange: Box<dyn Exchange>, is_kept: bool },
}

/// Waits for `connecting`, within the timeouts of this request.
pub(super) async fn within<T>(
    options: &Options,
    outline: &Outline,
    connecting: impl Future<Output = Result<T, ClientErrorKind>>,
) -> Result<T, ClientErrorKind> {
    let mut timeout = (TimeoutKind::Connect, options.connect_timeout);
    let mut left = timeout.1;
    if let Some((limit, deadline)) = outline.deadline {
        let rest = deadline.saturating_duration_since(time::now());
        if rest < left {
            (timeout, left) = ((TimeoutKind::Total, limit), rest);
        }
    }
    match time::timeout(left, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(ClientErrorKind::Timeout(timeout.0, timeout.1)),
    }
}

/// Opens a connection to this server. `may_be_http2` lets the server of an `https` URL choose
/// HTTP/2, unless the client is only for HTTP/1.1.
pub(super) async fn open(
    client: &LoopClient,
    target: &Target,
    may_be_http2: bool,
) -> Result<Opened, ClientErrorKind> {
    let options = &client.options;
    let opened = open_stream(options, target, may_be_http2 && options.http2).await;
    let opened = opened.map_err(ClientErrorKind::Connect)?;
    client.opened.update(|opened| opened + 1);
    Ok(opened)
}

/// Connects, and for `https` encrypts.
async fn open_stream(options: &Options, target: &Target, offers_http2: bool) -> io::Result<Opened> {
    let socket = open_socket(options.unix_socket.as_deref(), target).await?;
    if !target.is_https {
        return Ok(Opened { stream: ByteStream::Socket(socket), is_http2: false });
    }
    // Without the feature `tls` there is no such target.
    let encryption = options.encryption.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    encryption.encrypt(socket, &target.host, offers_http2).await
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
