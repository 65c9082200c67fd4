//! Records the events of a connection that receives some input, so that two ways to cut the same
//! input can be compared.
#![forbid(unsafe_code)]

// crates
use brigade_http::protocol::{BodyEvent, RequestEvent, ServerConnection};
use brigade_http::{BodyLength, Headers, Limits, ProtocolError, RequestHead};
use http::StatusCode;

/// How a connection receives a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// It is copied, then decoded.
    Copied,
    /// Its memory is taken over, then decoded.
    Owned,
    /// A head is received and decoded by one call.
    AtOnce,
}

/// Feeds `pieces`, then the end of the stream, and sends a response to each request once it has
/// been read.
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
    let mut connection = ServerConnection::new();
    let mut entries = Vec::new();
    for piece in pieces {
        pump(&mut connection, piece, receiving, &limits, &mut entries);
    }
    connection.receive_eof();
    pump(&mut connection, b"", receiving, &limits, &mut entries);
    let event = connection.next_head(&mut RequestHead::empty(), &limits);
    assert_eq!(event, Ok(RequestEvent::Closed));
    assert_eq!(connection.buffered(), 0);
    entries.concat()
}

/// Requires that cutting `input` at `cut`, and at every place, changes nothing.
///
/// # Panics
/// If it does.
pub fn check(input: &[u8], cut: usize) {
    let whole = journal([input], Receiving::Copied);
    let (before, after) = input.split_at(cut.min(input.len()));
    assert_eq!(journal([input], Receiving::AtOnce), whole, "received and asked about at once");
    assert_eq!(journal([before, after], Receiving::AtOnce), whole, "cut at {cut}");
    assert_eq!(journal([before, after], Receiving::Owned), whole, "cut at {cut}, taken over");
    assert_eq!(journal(input.chunks(1), Receiving::Copied), whole, "byte by byte");
}

/// Takes the first two bytes of `data` as the place of a cut; `None` if they are not there.
pub fn take_cut(data: &[u8]) -> Option<(usize, &[u8])> {
    let (&[high, low], input) = data.split_first_chunk()?;
    let cut = usize::from(u16::from_be_bytes([high, low]));
    Some((cut % (input.len() + 1), input))
}

/// Receives `piece` and decodes all that can be decoded.
fn pump(
    connection: &mut ServerConnection,
    piece: &[u8],
    receiving: Receiving,
    limits: &Limits,
    entries: &mut Vec<String>,
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
                    entries.push(data.escape_ascii().to_string());
                }
                Ok(BodyEvent::End(trailers)) => {
                    entries.push(format!("\nend {trailers:?}\n"));
                    respond(connection, StatusCode::OK);
                }
                Err(error) => refuse(connection, error, entries),
            }
            continue;
        }
        let event = match at_once.take() {
            Some(piece) => connection.receive_head(piece, &mut head, limits),
            None => connection.next_head(&mut head, limits),
        };
        match event {
            Ok(RequestEvent::NeedData | RequestEvent::Closed) => return,
            Ok(RequestEvent::Head) => {
                assert!(head.path().starts_with('/') || head.path() == "*");
                assert_eq!(head.headers().len(), head.header_lines().count());
                assert_eq!(head.uri().query().map(raw_quotes), head.query().map(raw_quotes));
                entries.push(format!("\n{head:?} {:?} {:?}\n", head.authority(), head.upgrade()));
                if !connection.is_reading_body() {
                    respond(connection, StatusCode::OK);
                }
            }
            Err(error) => refuse(connection, error, entries),
        }
    }
}

/// Undoes what `RequestHead::uri` may have encoded.
fn raw_quotes(query: &str) -> String {
    query.replace("%22", "\"").replace("%60", "`")
}

fn refuse(connection: &mut ServerConnection, error: ProtocolError, entries: &mut Vec<String>) {
    entries.push(format!("\n{error:?}\n"));
    assert!(connection.can_respond());
    respond(connection, error.status());
}

fn respond(connection: &mut ServerConnection, status: StatusCode) {
    let mut out = Vec::new();
    let headers = Headers::new();
    let head = connection.send_head(status, &headers, BodyLength::Empty, &[b'-'; 29], &mut out);
    head.and_then(|()| connection.send_end(None, &mut out)).expect("a plain response can be sent");
}
