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

/// The most plaintext that rustls is given to copy at a time. The C library copies more by one
/// instruction, which takes five times as long on some processors if source and destination are
/// badly aligned to each other (glibc before 2.39 on AMD Zen 3 and 4, bug 30994 of glibc).
const COPY_BYTES_MAX: usize = 2048;

/// The most parts that one write passes to rustls: those of twice [`UNSENT_BYTES_MAX`], as some
/// are small.
const PARTS_MAX: usize = 2 * UNSENT_BYTES_MAX / COPY_BYTES_MAX;

/// The limit of ciphertext that was not sent. rustls counts in plaintext, so that up to 22 bytes
/// for each record come on top.
pub(super) const UNSENT_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Session {
    connection: Connection,
    /// Ciphertext that was received, and is decrypted once the plaintext before it has been read.
    /// Empty unless one read of the socket contained much more than the reader has room for.
    surplus: Vec<u8>,
    /// Why the connection has failed. It is returned when the plaintext before it has been read.
    /// In a box, because most connections do not fail.
    failure: Option<Box<Error>>,
    /// The peer has sent `close_notify`.
    is_ended: bool,
    /// This side has sent `close_notify`, or has it in its buffer.
    is_closing: bool,
    /// The FIN that follows `close_notify` was taken by [`Session::take_fin`].
    is_fin_taken: bool,
}

/// Where plaintext goes, and how much of it.
pub(super) struct Sink<'a> {
    room: usize,
    taken: usize,
    put: &'a mut dyn FnMut(&[u8]),
}

impl<'a> Sink<'a> {
    /// Returns a sink that passes up to `room` bytes to `put`, in pieces.
    pub(super) fn new(room: usize, put: &'a mut dyn FnMut(&[u8])) -> Self {
        Self { room, taken: 0, put }
    }

    /// Takes as much of `chunk` as there is room for. Returns how much that is.
    fn take(&mut self, chunk: &[u8]) -> usize {
        let part = &chunk[..chunk.len().min(self.room - self.taken)];
        if !part.is_empty() {
            (self.put)(part);
        }
        self.taken += part.len();
        part.len()
    }

    fn is_full(&self) -> bool {
        self.taken == self.room
    }
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

    /// Decrypts `ciphertext` and passes plaintext to `sink`. Keeps what is too much for it. What
    /// comes after the end or a failure is dropped.
    pub(super) fn receive(&mut self, ciphertext: &[u8], sink: &mut Sink<'_>) {
        debug_assert!(self.surplus.is_empty(), "it is decrypted first");
        let mut rest = ciphertext;
        loop {
            rest = &rest[self.decrypt(rest)..];
            self.drain(sink);
            if rest.is_empty() || sink.is_full() {
                break;
            }
        }
        self.surplus = rest.to_vec();
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
                self.failure = Some(Box::new(Error::General(error.to_string())));
                break;
            }
            match self.connection.process_new_packets() {
                Ok(state) => {
                    self.is_ended = state.peer_has_closed();
                    if state.plaintext_bytes_to_read() >= PLAINTEXT_BYTES_MAX {
                        return ciphertext.len() - rest.len();
                    }
                }
                Err(error) => self.failure = Some(Box::new(error)),
            }
        }
        ciphertext.len()
    }

    /// Passes plaintext to `sink`. Returns how much it has taken in all: 0 at the end, or if it has
    /// no room.
    ///
    /// # Errors
    /// `WouldBlock` if there is no plaintext, `UnexpectedEof` if the peer has closed the connection
    /// without `close_notify`, and the failure of the connection.
    pub(super) fn read(&mut self, sink: &mut Sink<'_>) -> io::Result<usize> {
        self.drain(sink);
        if !self.surplus.is_empty() && !sink.is_full() {
            let surplus = std::mem::take(&mut self.surplus);
            self.receive(&surplus, sink);
        }
        if sink.taken > 0 || sink.is_full() {
            return Ok(sink.taken);
        }
        // There is nothing, and rustls says why.
        let nothing = self.connection.reader().fill_buf().map(<[u8]>::len);
        nothing.map_err(|error| self.read_error(error))
    }

    /// Passes plaintext that is decrypted already to `sink`.
    fn drain(&mut self, sink: &mut Sink<'_>) {
        let mut reader = self.connection.reader();
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            match sink.take(chunk) {
                0 => break,
                taken => reader.consume(taken),
            }
        }
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
        let mut writer = self.connection.writer();
        let written = match data {
            [one] if one.len() <= COPY_BYTES_MAX => writer.write(one)?,
            several => {
                let parts = several.iter().flat_map(|slice| slice.chunks(COPY_BYTES_MAX));
                let parts: Vec<_> = parts.take(PARTS_MAX).map(IoSlice::new).collect();
                writer.write_vectored(&parts)?
            }
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
        self.failure.as_deref()
    }

    pub(super) fn version(&self) -> TlsVersion {
        TlsVersion::of(self.connection.protocol_version())
    }

    pub(super) fn cipher_suite(&self) -> &'static str {
        let suite = self.connection.negotiated_cipher_suite();
        suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown")
    }

    pub(super) fn key_exchange_group(&self) -> &'static str {
        let group = self.connection.negotiated_key_exchange_group();
        group.and_then(|group| group.name().as_str()).unwrap_or("unknown")
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
