//! tokio's traits of reading and writing for TLS streams.

use crate::net::tokio_io::tokio_io;
use crate::tls::stream::TlsStream;

tokio_io!(TlsStream);
