//! What a connection does with some input, written down, so that two ways to cut the same input
//! can be compared.
#![forbid(unsafe_code)]

// crates
use brigade_http::protocol::{Connection, Event};
use brigade_http::{BodyLength, Headers, Limits, RequestHead};
use http::StatusCode;

/// A way to receive a piece.
#[derive(Clone, Copy, Debug)]
pub enum Receiving {
    /// It is copied, and then asked about.
    Copied,
    /// Its memory is taken over, and then asked about.
    TakenOver,
    /// It is received and asked about at once, with one place for all heads.
    AtOnce,
}

use Receiving::{AtOnce, Copied, TakenOver};

/// Feeds `pieces`, then the end of the stream, and answers each request once it has been read.
///
/// Returns the events as text, adjacent parts of a body merged.
///
/// # Panics
/// If the connection does not do as its documentation says.
pub fn journal<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, receiving: Receiving) -> String {
    // Small enough to be exceeded by what a fuzzer comes up with.
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

/// Requires that cutting `input` at `cut`, and at every place, changes nothing.
///
/// # Panics
/// If it does.
pub fn check(input: &[u8], cut: usize) {
    let whole = journal([input], Copied);
    let (before, after) = input.split_at(cut.min(input.len()));
    assert_eq!(journal([input], AtOnce), whole, "received and asked about at once");
    assert_eq!(journal([before, after], AtOnce), whole, "cut at {cut}");
    assert_eq!(journal([before, after], TakenOver), whole, "cut at {cut}, taken over");
    assert_eq!(journal(input.chunks(1), Copied), whole, "byte by byte");
}

/// Takes the first two bytes of `data` as the place of a cut; `None` if they are not there.
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
            Event::Paused => answer(connection, StatusCode::OK),
            Event::Error(error) => {
                entries.push(format!("\n{error:?}\n"));
                assert!(connection.can_answer());
                answer(connection, error.status());
            }
        }
        event = next(connection, None);
    }
}

fn answer(connection: &mut Connection, status: StatusCode) {
    let mut out = Vec::new();
    let headers = Headers::new();
    let head = connection.send_head(status, &headers, BodyLength::Empty, &[b'-'; 29], &mut out);
    head.and_then(|()| connection.send_end(None, &mut out)).expect("a plain answer can be sent");
}
