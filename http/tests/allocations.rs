//! How often a request allocates, and what a connection keeps.

// std
use std::mem::size_of;
use std::time::UNIX_EPOCH;

// crates
use allocation_counter::measure;
use brigade_http::protocol::{BodyEvent, DateCache, RequestEvent, ServerConnection};
use brigade_http::{BodyLength, EncodeError, Headers, Limits, RequestHead};
use http::{HeaderValue, StatusCode, header};

// ours
mod support;
use support::{get_with, post_with};

fn respond(
    connection: &mut ServerConnection,
    date: &[u8; 29],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut headers = Headers::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    connection.send_head(StatusCode::OK, &headers, BodyLength::Known(5), date, out)?;
    connection.outgoing_body().send_data(b"hello", out)?;
    connection.send_end(None, out)
}

/// Receives `input`, sends a response to each request in it, and returns their number.
fn serve(
    connection: &mut ServerConnection,
    head: &mut RequestHead,
    input: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    let limits = Limits::default();
    let mut requests = 0;
    let mut event = connection.receive_head(input, head, &limits);
    while event.unwrap() == RequestEvent::Head {
        assert_eq!((head.path(), head.host()), ("/", Some("a")));
        requests += 1;
        while connection.is_reading_body() {
            connection.next_body(&limits).unwrap();
        }
        respond(connection, DateCache::new().bytes(UNIX_EPOCH), out).unwrap();
        event = connection.next_head(head, &limits);
    }
    assert_eq!(event, Ok(RequestEvent::NeedData));
    requests
}

fn allocations(input: &str, requests: usize) -> u64 {
    let mut connection = ServerConnection::new();
    let mut head = RequestHead::empty();
    let mut out = Vec::with_capacity(16 * 1024);
    // The memory of the first head serves all others.
    serve(&mut connection, &mut head, input.as_bytes(), &mut out);
    let counts = measure(|| {
        assert_eq!(serve(&mut connection, &mut head, input.as_bytes(), &mut out), requests);
    });
    assert_eq!(counts.bytes_current, 0, "an idle connection holds no memory");
    assert!(connection.is_idle());
    counts.count_total
}

#[test]
fn a_plain_get_costs_no_allocation() {
    assert_eq!(allocations(&get_with(""), 1), 0);
    assert_eq!(allocations(&get_with("Accept: */*\r\nUser-Agent: test\r\n"), 1), 0);
}

#[test]
fn pipelined_requests_share_one_allocation() {
    assert_eq!(allocations(&get_with("").repeat(16), 16), 1);
}

#[test]
fn a_body_received_with_its_head_takes_one_allocation() {
    assert_eq!(allocations(&post_with("Content-Length: 5\r\n", "hello"), 1), 1);
}

#[test]
fn sizes_stay_small() {
    println!("RequestHead {}, BodyEvent {}", size_of::<RequestHead>(), size_of::<BodyEvent>());
    let (connection, headers) = (size_of::<ServerConnection>(), size_of::<Headers>());
    println!("ServerConnection {connection}, Headers {headers}");
    assert!(size_of::<RequestHead>() <= 128);
    assert!(connection <= 128);
}
