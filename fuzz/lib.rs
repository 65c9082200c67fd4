//! Records what a connection does with some input, so that two ways to cut the same input can be
//! compared.
#![forbid(unsafe_code)]

// crates
use brigade_http::{BodyLength, Connection, Event, Headers, Limits, RequestHead};
use http::StatusCode;

/// How a piece of input is received.
#[derive(Clone, Copy, Debug)]
pub enum Receiving {
    /// The piece is copied; events are polled afterwards.
    Copied,
    /// The piece's memory is taken over; events are polled afterwards.
    TakenOver,
    /// The piece is received and the first event polled by one call, with one place for all heads.
    AtOnce,
}

use Receiving::{AtOnce, Copied, TakenOver};

/// Feeds `pieces`, then the end of the stream, and responds to each request once it has been read.
///
/// Returns the events as text, with adjacent parts of a body merged.
///
/// # Panics
/// If the connection violates its documentation.
pub fn journal<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, receiving: Receiving) -> String {
    // Small enough for a fuzzer to exceed.
    let limits = Limits {
        target_bytes_max: 64,
        head_bytes_max: 512,
        headers_count_max: 8,
        body_bytes_max: 256,
        chunk_extension_bytes_max: 32,
        chunk_overhead_bytes_max: 64,
        trailer_bytes_max: 64,
        ..Limits::default()
    };
    let mut connection = Connection::new();
    let mut entries = Vec::new();
    let mut head = RequestHead::empty();
    let mut next = |connection: &mut Connection, piece: Option<&[u8]>| {
        let event = match (receiving, piece) {
            (AtOnce, Some(piece)) => connection.receive_into(piece, &mut head, &limits),
            (AtOnce, None) => connection.next_event_into(&mut head, &limits),
            (Copied | TakenOver, piece) => {
                match receiving {
                    TakenOver => connection.receive_owned(piece.unwrap_or_default().to_vec()),
                    _ => connection.receive(piece.unwrap_or_default()),
                }
                return connection.next_event(&limits);
            }
        };
        event.map_head(|()| head.clone())
    };
    for piece in pieces {
        pump(&mut connection, piece, &mut next, &mut entries);
    }
    connection.receive_eof();
    pump(&mut connection, b"", &mut next, &mut entries);
    assert!(matches!(connection.next_event(&limits), Event::Closed));
    assert_eq!(connection.buffered(), 0);
    entries.concat()
}

/// Checks that cutting `input` at `cut`, and at every byte, does not change the events.
///
/// # Panics
/// If a cut changes the events.
pub fn check(input: &[u8], cut: usize) {
    let whole = journal([input], Copied);
    let (before, after) = input.split_at(cut.min(input.len()));
    assert_eq!(journal([input], AtOnce), whole, "received and polled at once");
    assert_eq!(journal([before, after], AtOnce), whole, "cut at {cut}");
    assert_eq!(journal([before, after], TakenOver), whole, "cut at {cut}, taken over");
    assert_eq!(journal(input.chunks(1), Copied), whole, "byte by byte");
}

/// Returns the position of the cut, from the first two bytes of `data`, and the rest of it; `None`
/// if `data` is too short.
pub fn take_cut(data: &[u8]) -> Option<(usize, &[u8])> {
    let (&[high, low], input) = data.split_first_chunk()?;
    let cut = usize::from(u16::from_be_bytes([high, low]));
    Some((cut % (input.len() + 1), input))
}

fn pump(
    connection: &mut Connection,
    piece: &[u8],
    next: &mut impl FnMut(&mut Connection, Option<&[u8]>) -> Event,
    entries: &mut Vec<String>,
) {
    let mut event = next(connection, Some(piece));
    loop {
        match event {
            Event::NeedData | Event::Closed => return,
            Event::Request(head) => {
                assert!(head.path().starts_with('/') || head.path() == "*");
                assert_eq!(head.headers().len(), head.header_lines().count());
                assert_eq!(head.uri().query(), head.query());
                entries.push(format!("\n{head:?} {:?} {:?}\n", head.authority(), head.upgrade()));
            }
            Event::Body(data) => {
                assert!(!data.is_empty());
                entries.push(data.escape_ascii().to_string());
            }
            Event::BodyEnd(trailers) => entries.push(format!("\nend {trailers:?}\n")),
            Event::Paused => respond(connection, StatusCode::OK),
            Event::Error(error) => {
                entries.push(format!("\n{error:?}\n"));
                assert!(connection.can_answer());
                respond(connection, error.status());
            }
        }
        event = next(connection, None);
    }
}

fn respond(connection: &mut Connection, status: StatusCode) {
    let mut out = Vec::new();
    let headers = Headers::new();
    let head = connection.send_head(status, &headers, BodyLength::Empty, &[b'-'; 29], &mut out);
    head.and_then(|()| connection.send_end(None, &mut out)).expect("a plain response can be sent");
}
