//! Drives the handshake of a session over a socket.
//!
//! The session is polled for what it wants to send; what it has received is decrypted in a step
//! that waits for its turn. A failure's alert is sent before the error is returned.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use crate::net::AnyStream;
use crate::tls::handshake_error::{HandshakeError, HandshakeFailure};
use crate::tls::session::{Session, Sink};
use crate::tls::stream::{receive_with, send};
use crate::tls::turns::{note_step, wait_for_step};

/// How much of the plaintext that follows a handshake at once is wanted: none, so that a read of
/// the socket takes as little as it can.
const NO_PLAINTEXT: usize = 0;

/// How much is read of what a peer has sent before it gets the alert that ends the handshake.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// What came of a handshake that has not failed.
pub(super) enum Completed {
    /// The session can be used.
    Session,
    /// The peer has sent these bytes, which do not begin with the byte that was expected. Nothing
    /// was sent.
    Other(Vec<u8>),
}

/// Completes the handshake of `session`, and sends its last message. Does not begin it if the peer
/// is expected to send `first_byte` and sends another one.
///
/// # Errors
/// Every [`HandshakeFailure`] except `NotTls` and `Timeout`. The write direction of the socket is
/// shut down.
pub(super) async fn complete(
    io: &AnyStream,
    session: &RefCell<Session>,
    first_byte: Option<u8>,
) -> Result<Completed, HandshakeError> {
    let result = take_steps(io, session, first_byte).await;
    if result.is_err() {
        end(io, &mut session.borrow_mut());
    }
    result
}

async fn take_steps(
    io: &AnyStream,
    session: &RefCell<Session>,
    mut first_byte: Option<u8>,
) -> Result<Completed, HandshakeError> {
    loop {
        let sent = poll_fn(|cx| poll_send(io, session, cx)).await;
        if !session.borrow().is_handshaking() {
            // If the last message could not be sent, the peer has gone, but what it has sent before
            // can be read.
            return Ok(Completed::Session);
        }
        sent?;
        poll_fn(|cx| io.poll_readable(cx)).await;
        wait_for_step().await;
        let step = step(io, &mut session.borrow_mut(), first_byte);
        if matches!(step, Ok(Step::Worked) | Err(_)) {
            note_step();
        }
        match step? {
            Step::Blocked => {}
            Step::Received | Step::Worked => first_byte = None,
            Step::Other(received) => return Ok(Completed::Other(received)),
        }
    }
}

/// What a step has done.
enum Step {
    /// Nothing: the socket had nothing.
    Blocked,
    /// It has received a part of a message, or a message without a response.
    Received,
    /// It has processed a message, which may have taken long.
    Worked,
    /// It has received something else.
    Other(Vec<u8>),
}

/// Reads once and processes what was read. Sends what follows from it, as far as the socket accepts
/// it.
fn step(
    io: &AnyStream,
    session: &mut Session,
    first_byte: Option<u8>,
) -> Result<Step, HandshakeError> {
    let received = receive_with(io, NO_PLAINTEXT, |received| match received {
        [] => Some(Err(HandshakeError::new(HandshakeFailure::Closed))),
        [first, ..] if first_byte.is_some_and(|expected| expected != *first) => {
            Some(Ok(Step::Other(received.to_vec())))
        }
        _ => {
            session.receive(received, &mut Sink::new(NO_PLAINTEXT, &mut |_| ()));
            None
        }
    });
    match received {
        Ok(None) => {}
        Ok(Some(outcome)) => return outcome,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Blocked),
        Err(error) => return Err(error.into()),
    }
    // What fails after the handshake is reported by the first read.
    if let Some(failure) = session.failure().filter(|_| session.is_handshaking()) {
        return Err(failure.clone().into());
    }
    // A message was complete if there is a response to it, or if it was the last one.
    let has_worked = session.has_unsent() || !session.is_handshaking();
    match send(io, session) {
        Err(error) if error.kind() != ErrorKind::WouldBlock && session.is_handshaking() => {
            Err(error.into())
        }
        _ if has_worked => Ok(Step::Worked),
        _ => Ok(Step::Received),
    }
}

fn poll_send(
    io: &AnyStream,
    session: &RefCell<Session>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), HandshakeError>> {
    while session.borrow().has_unsent() {
        ready!(io.poll_writable(cx));
        match send(io, &mut session.borrow_mut()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result.map_err(Into::into)),
        }
    }
    Poll::Ready(Ok(()))
}

/// Sends the alert that reports a failure, and a FIN. Closing a socket with bytes that were not
/// read resets the connection, and the peer might lose the alert, so they are read, once.
fn end(io: &AnyStream, session: &mut Session) {
    // The peer may have gone, and does not wait for an alert then.
    let _ = send(io, session);
    let _ = io.shutdown(Shutdown::Write);
    let _ = receive_with(io, UNREAD_BYTES_MAX, |_| ());
}

/// Reads until the peer has closed, or has sent `bytes_max` bytes.
pub(super) async fn discard(io: &AnyStream, bytes_max: usize) {
    let mut discarded = 0;
    while discarded < bytes_max {
        poll_fn(|cx| io.poll_readable(cx)).await;
        match receive_with(io, UNREAD_BYTES_MAX, <[u8]>::len) {
            Ok(read @ 1..) => discarded += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}
