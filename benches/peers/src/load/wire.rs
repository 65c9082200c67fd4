//! A connection, over TLS or not.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::{ClientConnection, StreamOwned};

use super::tls::TlsClient;

/// A connection that is read from and written to as its socket is: non-blocking, if that is.
pub enum Wire {
    /// The socket itself.
    Plain(TcpStream),
    /// TLS over the socket. The first read or write does the handshake.
    Tls {
        /// The connection.
        stream: Box<StreamOwned<ClientConnection, TcpStream>>,
        /// What it was made with.
        client: TlsClient,
        /// Whether it offers to resume a session.
        resumes: bool,
    },
}

impl Wire {
    /// Wraps a socket, with TLS if there is a client of it.
    ///
    /// # Errors
    /// If rustls refuses the client's configuration.
    pub fn new(socket: TcpStream, tls: Option<&TlsClient>) -> io::Result<Self> {
        let Some(client) = tls else { return Ok(Self::Plain(socket)) };
        let (connection, resumes) = client.connection()?;
        let stream = Box::new(StreamOwned::new(connection, socket));
        Ok(Self::Tls { stream, client: client.clone(), resumes })
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls { stream, client, resumes } => match stream.read(buffer) {
                // Some servers close without `close_notify`; Content-Length shows what is missing.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                Ok(size) => client.check(&stream.conn, *resumes).map(|()| size),
                Err(error) => Err(error),
            },
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls { stream, .. } => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls { stream, .. } => stream.flush(),
        }
    }
}
