//! TLS 1.2 and 1.3 over the streams of [`net`](crate::net), by rustls.
//!
//! A server makes one [`TlsConfig`] from its certificates, for all its loops, and a
//! [`TlsAcceptor`] from it, or calls [`TcpServer::tls`](crate::server::TcpServer::tls). A client
//! makes a [`TlsConnector`]. Both turn a connection into a [`TlsStream`], which reads and writes
//! like a socket.
//!
//! # A server
//! ```no_run
//! use brigade_runtime::server::TcpServer;
//! use brigade_runtime::tls::{TlsConfig, TlsStream};
//!
//! async fn echo(stream: &TlsStream) -> std::io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         match stream.read(&mut buffer).await? {
//!             0 => return stream.close().await,
//!             read => stream.write_all(&buffer[..read]).await?,
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = TlsConfig::from_pem_files("cert.pem", "key.pem")?;
//!     let server = TcpServer::bind("127.0.0.1:8443")?.tls(config);
//!     server.run(|| async |stream: TlsStream, _peer| drop(echo(&stream).await))?;
//!     Ok(())
//! }
//! ```
//!
//! # A client
//! ```no_run
//! use brigade_runtime::net::TcpStream;
//! use brigade_runtime::tls::TlsConnector;
//!
//! # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
//! let connector = TlsConnector::new()?;
//! let stream = TcpStream::connect("example.org:443").await?;
//! let stream = connector.connect(stream, "example.org").await?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! | to | see |
//! | --- | --- |
//! | choose certificates, versions, protocols; replace certificates while serving | [`TlsConfig`] |
//! | accept one connection; count handshakes | [`TlsAcceptor`], [`TlsStats`] |
//! | connect | [`TlsConnector`], [`TlsRoots`] |
//! | read and write | [`TlsStream`] |
//! | learn why a handshake failed | [`HandshakeError`], [`HandshakeFailure`] |
//! | use types of rustls, such as another provider of cryptography | [`rustls`] |
//!
//! Reading order: `error`, `version`, `provider`, `pem`, `roots` (parts of configurations);
//! `certificates` and `config` (a server's); `session` (TLS without I/O), `stream`, `stream_io`;
//! `handshake_error`, `turns` and `handshake`; `stats`, `acceptor`, `connector`.

mod acceptor;
mod certificates;
mod config;
mod connector;
mod error;
mod handshake;
mod handshake_error;
mod pem;
mod provider;
mod roots;
#[cfg(feature = "tls-self-signed")]
mod self_signed;
mod session;
mod stats;
mod stream;
mod stream_io;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod turns;
mod version;

pub use acceptor::{Accepted, TlsAcceptor};
pub use config::{HANDSHAKE_TIMEOUT, TlsConfig, TlsConfigBuilder};
pub use connector::{TlsConnector, TlsConnectorBuilder};
pub use error::TlsError;
pub use handshake_error::{HandshakeError, HandshakeFailure};
pub use roots::TlsRoots;
pub use rustls;
pub use stats::TlsStats;
pub use stream::{TlsStream, WRITE_BYTES_MAX};
pub use version::TlsVersion;
