//! What a request costs in memory: how often something is allocated, and what is kept.

// std
use std::mem::size_of;
use std::time::UNIX_EPOCH;

// crates
use allocation_counter::measure;
use brigade_http::protocol::{Connection, DateCache, Event};
use brigade_http::{BodyLength, EncodeError, Headers, Limits, RequestHead};
use http::{HeaderValue, StatusCode, header};

// ours
mod support;
use support::{get_with, post_with};

fn answer(
    connection: &mut Connection,
    date: &[u8; 29],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut headers = Headers::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    connection.send_head(StatusCode::OK, &headers, BodyLength::Known(5), date, out)?;
    connection.send_data(b"hello", out)?;
    connection.send_end(None, out)
}

/// Receives `input`, answers all that is in it, and returns how many requests that were.
fn serve(
    connection: &mut Connection,
    head: &mut RequestHead,
    input: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    let limits = Limits::default();
    let mut requests = 0;
    let mut event = connection.receive_into(input, head, &limits);
    loop {
        match event {
            Event::NeedData => return requests,
            Event::Request(()) => {
                assert_eq!((head.path(), head.host()), ("/", Some("a")));
                requests += 1;
            }
            Event::Body(_) | Event::BodyEnd(_) => {}
            Event::Paused => {
                answer(connection, DateCache::new().bytes(UNIX_EPOCH), out).unwrap();
            }
            Event::Closed | Event::Error(_) => panic!("nothing is wrong with this"),
        }
        event = connection.next_event_into(head, &limits);
    }
}

fn allocations(input: &str, requests: usize) -> u64 {
    let mut connection = Connection::new();
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
fn a_body_in_the_same_read_is_handed_on_without_an_allocation() {
    assert_eq!(allocations(&post_with("Content-Length: 5\r\n", "hello"), 1), 1);
}

#[test]
fn sizes_stay_small() {
    println!("RequestHead {}, Event {}", size_of::<RequestHead>(), size_of::<Event>());
    println!("Connection {}, Headers {}", size_of::<Connection>(), size_of::<Headers>());
    assert!(size_of::<RequestHead>() <= 128);
    assert!(size_of::<Connection>() <= 128);
}
