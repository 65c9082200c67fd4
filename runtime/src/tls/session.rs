//! One side of a TLS connection, without I/O: ciphertext in, plaintext out, and the other way
//! round.
//!
//! It hides how rustls keeps its buffers, which its next version changes. The order of calls while
//! reading is [`Session::read`], which says `WouldBlock`, [`Session::receive`] with what the socket
//! returned, and `read` again; while writing, [`Session::write`] and [`Session::send`].

use std::io::{self, BufRead, IoSlice, Write};

use rustls::pki_types::CertificateDer;
use rustls::{Connection, Error, HandshakeKind};

use crate::tls::version::TlsVersion;

/// Plaintext of this size or more is read before more ciphertext is decrypted. rustls refuses
/// ciphertext above it.
const PLAINTEXT_BYTES_MAX: usize = 16 * 1024;

/// How many bytes rustls takes at a time, in a buffer that it keeps.
const READ_BYTES: usize = 4096;

/// The limit of ciphertext that was not sent. rustls counts in plaintext, so that up to 22 bytes
/// for each record come on top.
pub(super) const UNSENT_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Session {
    connection: Connection,
    /// Ciphertext that was received, and is decrypted once the plaintext before it has been read.
    /// Empty unless the reader's buffer is smaller than what one read of the socket contained.
    surplus: Vec<u8>,
    /// Why the connection has failed. It is returned when the plaintext before it has been read.
    failure: Option<Error>,
    /// The peer has sent `close_notify`.
    is_ended: bool,
    /// This side has sent `close_notify`, or has it in its buffer.
    is_closing: bool,
    /// The FIN that follows `close_notify` was taken by [`Session::take_fin`].
    is_fin_taken: bool,
}

/// A reader that has nothing now.
struct Nothing;

impl io::Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Session {
    pub(super) fn new(connection: impl Into<Connection>) -> Self {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Self {
            connection,
            surplus: Vec::new(),
            failure: None,
            is_ended: false,
            is_closing: false,
            is_fin_taken: false,
        }
    }

    /// Decrypts `ciphertext`. What comes after the end or a failure is dropped.
    pub(super) fn receive(&mut self, ciphertext: &[u8]) {
        debug_assert!(self.surplus.is_empty(), "it is decrypted first");
        let taken = self.decrypt(ciphertext);
        self.surplus = ciphertext[taken..].to_vec();
        if ciphertext.len() > READ_BYTES {
            // Before a read, rustls frees the memory of the last record.
            let _ = self.connection.read_tls(&mut Nothing);
        }
    }

    /// Notes that the peer has closed the connection.
    pub(super) fn receive_end(&mut self) {
        // Reading nothing is how rustls learns of it.
        let ended = self.connection.read_tls(&mut io::empty());
        debug_assert!(ended.is_ok_and(|read| read == 0), "an empty reader");
    }

    /// Decrypts `ciphertext` up to the limit of plaintext. Returns how many bytes were taken.
    fn decrypt(&mut self, ciphertext: &[u8]) -> usize {
        let mut rest = ciphertext;
        while !rest.is_empty() && self.failure.is_none() && !self.is_ended {
            if let Err(error) = self.connection.read_tls(&mut rest) {
                self.failure = Some(Error::General(error.to_string()));
                break;
            }
            match self.connection.process_new_packets() {
                Ok(state) => {
                    self.is_ended = state.peer_has_closed();
                    if state.plaintext_bytes_to_read() >= PLAINTEXT_BYTES_MAX {
                        return ciphertext.len() - rest.len();
                    }
                }
                Err(error) => self.failure = Some(error),
            }
        }
        ciphertext.len()
    }

    /// Passes up to `room` bytes of plaintext to `put`, in pieces. Returns their number: 0 at the
    /// end, or if there is no room.
    ///
    /// # Errors
    /// `WouldBlock` if there is no plaintext, `UnexpectedEof` if the peer has closed the connection
    /// without `close_notify`, and the failure of the connection.
    pub(super) fn read(&mut self, room: usize, mut put: impl FnMut(&[u8])) -> io::Result<usize> {
        let mut read = 0;
        while read < room {
            let mut reader = self.connection.reader();
            match reader.fill_buf() {
                Ok([]) => break,
                Ok(chunk) => {
                    let part = &chunk[..chunk.len().min(room - read)];
                    put(part);
                    read += part.len();
                    let length = part.len();
                    reader.consume(length);
                }
                Err(_) if !self.surplus.is_empty() => {
                    let surplus = std::mem::take(&mut self.surplus);
                    let taken = self.decrypt(&surplus);
                    self.surplus = surplus[taken..].to_vec();
                }
                Err(_) if read > 0 => break,
                Err(error) => return Err(self.read_error(error)),
            }
        }
        Ok(read)
    }

    fn read_error(&self, error: io::Error) -> io::Error {
        if let Some(failure) = &self.failure {
            return failed(failure);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(
                error.kind(),
                "the peer has closed the connection without close_notify: data may be missing",
            ),
            _ => error,
        }
    }

    /// Encrypts `data`, within the limit of what is not sent. Returns how many bytes were
    /// encrypted.
    ///
    /// # Errors
    /// `BrokenPipe` if this side has sent `close_notify`, or has used its keys as long as is safe;
    /// and the failure of the connection.
    pub(super) fn write(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_closing {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(failure) = &self.failure {
            return Err(failed(failure));
        }
        let written = match data {
            [one] => self.connection.writer().write(one)?,
            several => self.connection.writer().write_vectored(several)?,
        };
        if written == 0 && data.iter().any(|slice| !slice.is_empty()) {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the keys of the connection are used up",
            ));
        }
        Ok(written)
    }

    /// Appends `close_notify` to what is to be sent, once.
    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closing, true) {
            self.connection.send_close_notify();
        }
    }

    /// Passes ciphertext to `socket` until none is left.
    ///
    /// # Errors
    /// Those of `socket`, such as `WouldBlock`.
    pub(super) fn send(&mut self, socket: &mut dyn Write) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    /// Returns `true` if [`Session::read`] returns something other than `WouldBlock`, as far as is
    /// known without reading the socket.
    pub(super) fn is_readable(&self) -> bool {
        // Without plaintext and before the end, rustls wants to read.
        self.failure.is_some() || !self.surplus.is_empty() || !self.connection.wants_read()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns `true` once, when `close_notify` was sent and a FIN has to follow.
    pub(super) fn take_fin(&mut self) -> bool {
        let is_due = self.is_closing && !self.has_unsent() && !self.is_fin_taken;
        self.is_fin_taken |= is_due;
        is_due
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    pub(super) fn version(&self) -> TlsVersion {
        TlsVersion::of(self.connection.protocol_version())
    }

    pub(super) fn cipher_suite(&self) -> &'static str {
        let suite = self.connection.negotiated_cipher_suite();
        suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown")
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(super) fn alpn_protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    pub(super) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.connection.peer_certificates()
    }

    pub(super) fn server_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }
}

/// Returns the error of a connection that has failed.
fn failed(failure: &Error) -> io::Error {
    let kind = match failure {
        Error::AlertReceived(_) => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, failure.clone())
}
