//! TLS as the stream of a connection.

use std::cell::OnceCell;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use brigade_runtime::tls::TlsStream;

use crate::message::byte_stream::{ByteStream, Describe, Description, Duplex, Encrypted};
use crate::message::extensions::Extensions;
use crate::message::tls_info::{TlsDetails, TlsInfo};

/// Returns a stream that reads and writes over TLS.
pub(crate) fn over_tls(stream: TlsStream) -> ByteStream {
    ByteStream::Other(Box::new(TlsDuplex { stream, details: OnceCell::new() }))
}

/// Returns what handlers learn of the connection.
fn details(stream: &TlsStream) -> TlsDetails {
    TlsDetails {
        version: stream.protocol_version(),
        cipher_suite: stream.cipher_suite(),
        key_exchange_group: stream.key_exchange_group(),
        server_name: stream.server_name(),
        peer_certificates: stream.peer_certificates(),
        is_resumed: stream.is_resumed(),
    }
}

#[derive(Debug)]
struct TlsDuplex {
    stream: TlsStream,
    /// Made for the first request.
    details: OnceCell<Rc<TlsDetails>>,
}

impl Describe for TlsDetails {
    fn describe(self: Rc<Self>, extensions: &mut Extensions) {
        extensions.insert(Encrypted);
        extensions.insert(TlsInfo(self));
    }
}

impl Duplex for TlsDuplex {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_writable(cx)
    }

    fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_read_closed(cx)
    }

    fn is_read_closed(&self) -> bool {
        self.stream.is_read_closed()
    }

    fn is_write_closed(&self) -> bool {
        self.stream.is_write_closed()
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.stream.try_read_buf(buffer)
    }

    fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.stream.try_write(data)
    }

    fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(slices)
    }

    fn try_flush(&self) -> io::Result<()> {
        self.stream.try_flush()
    }

    /// Sends `close_notify` and then a FIN.
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.stream.shutdown(Shutdown::Write) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                closed => return Poll::Ready(closed),
            }
            ready!(self.stream.poll_writable(cx));
        }
    }

    fn reset(&self) {
        // Fails only if the connection is gone.
        let _ = self.stream.set_linger(Some(Duration::ZERO));
    }

    fn abort(&self) {
        // Fails only if the connection is gone.
        let _ = self.stream.abort();
    }

    fn description(&self) -> Option<Description> {
        Some(self.details.get_or_init(|| Rc::new(details(&self.stream))).clone())
    }
}
