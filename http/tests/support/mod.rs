//! Feeds input to connections whole, byte by byte and split at every boundary, and records the
//! events.
#![allow(dead_code, reason = "each test file uses a part of it")]

use brigade_http::protocol::{Connection, DATE_BYTES, Event};
use brigade_http::{BodyLength, Headers, Limits, RequestHead};
use http::{HeaderMap, StatusCode};

/// The `Date` of the responses, which no test checks.
pub(crate) const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// The events of a connection, as text: the requests, their bodies with adjacent parts merged, and
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

/// Feeds `pieces`, then the end of the stream, to three connections, by `receive`, `receive_owned`
/// and `receive_into`. Returns the journal of the events, which must be the same for all three.
pub(crate) fn journal<'a>(limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let pieces: Vec<&[u8]> = pieces.into_iter().collect();
    let copied = journal_of(&pieces, |connection, piece| {
        if let Some(piece) = piece {
            connection.receive(piece);
        }
        connection.next_event(limits)
    });
    let owned = journal_of(&pieces, |connection, piece| {
        if let Some(piece) = piece {
            connection.receive_owned(piece.to_vec());
        }
        connection.next_event(limits)
    });
    assert_eq!(owned, copied, "receive_owned and receive");
    let mut head = RequestHead::empty();
    let into = journal_of(&pieces, |connection, piece| {
        let event = match piece {
            Some(piece) => connection.receive_into(piece, &mut head, limits),
            None => connection.next_event_into(&mut head, limits),
        };
        event.map_head(|()| head.clone())
    });
    assert_eq!(into, copied, "receive_into and receive");
    copied
}

/// `next` feeds a piece to the connection, if there is one, and returns the next event.
fn journal_of(
    pieces: &[&[u8]],
    mut next: impl FnMut(&mut Connection, Option<&[u8]>) -> Event,
) -> String {
    let mut connection = Connection::new();
    let mut journal = Journal::default();
    for piece in pieces {
        pump(&mut connection, piece, &mut next, &mut journal);
    }
    connection.receive_eof();
    pump(&mut connection, b"", &mut next, &mut journal);
    assert_eq!(connection.buffered(), 0, "a connection that ended buffers nothing");
    journal.entries.join(" ")
}

fn pump(
    connection: &mut Connection,
    piece: &[u8],
    next: &mut impl FnMut(&mut Connection, Option<&[u8]>) -> Event,
    journal: &mut Journal,
) {
    let mut event = next(connection, Some(piece));
    loop {
        match event {
            Event::NeedData => return,
            Event::Request(head) => {
                let authority = head.authority().unwrap_or("-");
                journal.record(format!("{} {} {authority}", head.method(), head.path()));
                assert_eq!(head.headers().len(), head.header_lines().count());
                let query = head.query().map(|query| query.replace('"', "%22"));
                let uri = head.uri();
                let in_uri = uri.query().map(|query| query.replace('"', "%22"));
                assert_eq!(in_uri.map(|query| query.replace("%60", "`")), query);
            }
            Event::Body(data) => {
                assert!(!data.is_empty());
                journal.body.get_or_insert_default().extend_from_slice(&data);
            }
            Event::BodyEnd(trailers) => journal.record(format!("end{}", list(trailers.as_deref()))),
            Event::Paused => respond(connection, StatusCode::OK),
            Event::Error(error) => {
                journal.record(format!("{} {error:?}", error.status().as_u16()));
                if connection.can_answer() {
                    respond(connection, error.status());
                }
                assert!(!connection.keep_alive());
            }
            Event::Closed => {
                if journal.entries.last().is_none_or(|entry| entry != "closed") {
                    journal.record("closed");
                }
                return;
            }
        }
        event = next(connection, None);
    }
}

fn respond(connection: &mut Connection, status: StatusCode) {
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
