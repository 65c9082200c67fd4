//! Feeds connections whole, byte by byte and split at every boundary, and records the events.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use brigade_http::protocol::{BodyEvent, DATE_BYTES, RequestEvent, ServerConnection};
use brigade_http::{BodyLength, Headers, Limits, ProtocolError, RequestHead};
use http::{HeaderMap, StatusCode};

/// A date for tests that do not check it.
pub(crate) const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// The events of a connection as text: the requests, their bodies with adjacent parts merged, and
/// how the connection ends. Each request gets a response once it has been read.
#[derive(Default)]
struct Journal {
    entries: Vec<String>,
    body: Option<Vec<u8>>,
}

impl Journal {
    fn record(&mut self, entry: impl Into<String>) {
        if let Some(body) = self.body.take() {
            self.entries.push(format!("{:?}", String::from_utf8_lossy(&body)));
        }
        self.entries.push(entry.into());
    }
}

/// How a connection receives a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    /// It is copied, then decoded.
    Copied,
    /// Its memory is taken over, then decoded.
    Owned,
    /// A head is received and decoded by one call.
    AtOnce,
}

/// Feeds `pieces`, then the end of the stream, in each of the three ways to receive. The results
/// have to be equal.
pub(crate) fn journal<'a>(limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let pieces: Vec<&[u8]> = pieces.into_iter().collect();
    let copied = journal_of(limits, &pieces, Receiving::Copied);
    for receiving in [Receiving::Owned, Receiving::AtOnce] {
        assert_eq!(journal_of(limits, &pieces, receiving), copied, "{receiving:?}");
    }
    copied
}

fn journal_of(limits: &Limits, pieces: &[&[u8]], receiving: Receiving) -> String {
    let mut connection = ServerConnection::new();
    let mut journal = Journal::default();
    for piece in pieces {
        pump(&mut connection, piece, receiving, limits, &mut journal);
    }
    connection.receive_eof();
    pump(&mut connection, b"", receiving, limits, &mut journal);
    assert_eq!(connection.buffered(), 0, "nothing is kept of a connection that ended");
    journal.entries.join(" ")
}

/// Receives `piece` and decodes all that can be decoded.
fn pump(
    connection: &mut ServerConnection,
    piece: &[u8],
    receiving: Receiving,
    limits: &Limits,
    journal: &mut Journal,
) {
    let mut head = RequestHead::empty();
    let mut at_once = None;
    match receiving {
        Receiving::Owned => connection.receive_owned(piece.to_vec()),
        Receiving::AtOnce if !connection.is_reading_body() => at_once = Some(piece),
        Receiving::Copied | Receiving::AtOnce => connection.receive(piece),
    }
    loop {
        if connection.is_reading_body() {
            match connection.next_body(limits) {
                Ok(BodyEvent::NeedData) => return,
                Ok(BodyEvent::Data(data)) => {
                    assert!(!data.is_empty());
                    journal.body.get_or_insert_default().extend_from_slice(&data);
                }
                Ok(BodyEvent::End(trailers)) => {
                    journal.record(format!("end{}", list(trailers.as_deref())));
                    respond(connection, StatusCode::OK);
                }
                Err(error) => refuse(connection, error, journal),
            }
            continue;
        }
        let event = match at_once.take() {
            Some(piece) => connection.receive_head(piece, &mut head, limits),
            None => connection.next_head(&mut head, limits),
        };
        match event {
            Ok(RequestEvent::NeedData) => return,
            Ok(RequestEvent::Head) => {
                let authority = head.authority().unwrap_or("-");
                journal.record(format!("{} {} {authority}", head.method(), head.path()));
                assert_eq!(head.headers().len(), head.header_lines().count());
                assert_eq!(head.uri().query().map(raw_quotes), head.query().map(raw_quotes));
                if !connection.is_reading_body() {
                    respond(connection, StatusCode::OK);
                }
            }
            Ok(RequestEvent::Closed) => {
                if journal.entries.last().is_none_or(|entry| entry != "closed") {
                    journal.record("closed");
                }
                return;
            }
            Err(error) => refuse(connection, error, journal),
        }
    }
}

fn refuse(connection: &mut ServerConnection, error: ProtocolError, journal: &mut Journal) {
    journal.record(format!("{} {error:?}", error.status().as_u16()));
    if connection.can_respond() {
        respond(connection, error.status());
    }
    assert!(!connection.keep_alive());
}

/// Undoes what `RequestHead::uri` may have encoded.
fn raw_quotes(query: &str) -> String {
    query.replace("%22", "\"").replace("%60", "`")
}

fn respond(connection: &mut ServerConnection, status: StatusCode) {
    let mut out = Vec::new();
    connection.send_head(status, &Headers::new(), BodyLength::Empty, DATE, &mut out).unwrap();
    connection.send_end(None, &mut out).unwrap();
    assert!(out.starts_with(b"HTTP/1.1 ") && out.ends_with(b"\r\n\r\n"));
}

fn list(trailers: Option<&HeaderMap>) -> String {
    let lines = trailers.into_iter().flatten();
    let text = |value| String::from_utf8_lossy(value).into_owned();
    lines.map(|(name, value)| format!("{{{name}={}}}", text(value.as_bytes()))).collect()
}

/// Asserts that the journal of `input` is `expected` whole, byte by byte, and cut at any place. At
/// most 500 cuts are tried.
pub(crate) fn check_with(limits: &Limits, input: &[u8], expected: &str) {
    let shown = String::from_utf8_lossy(&input[..input.len().min(300)]).into_owned();
    assert_eq!(journal(limits, [input]), expected, "whole: {shown:?}");
    assert_eq!(journal(limits, input.chunks(1)), expected, "byte by byte: {shown:?}");
    for at in (0..=input.len()).step_by(1 + input.len() / 500) {
        let (before, after) = input.split_at(at);
        assert_eq!(journal(limits, [before, after]), expected, "cut at {at}: {shown:?}");
    }
}

/// Calls [`check_with`] with the default limits.
pub(crate) fn check(input: impl AsRef<[u8]>, expected: &str) {
    check_with(&Limits::default(), input.as_ref(), expected);
}

/// Returns a GET request for `/` with `Host` and these header lines, each of which ends in CR LF.
pub(crate) fn get_with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// Returns a POST request for `/` with `Host`, these header lines, each of which ends in CR LF, and
/// this body.
pub(crate) fn post_with(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")
}
