//! The client over HTTP/2, with servers that do what ours does not.
#![forbid(unsafe_code)]
#![cfg(all(feature = "tls", feature = "http2"))]

mod authority;
mod http2_frames;
mod http2_server;
mod sockets;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use brigade_http::{
    Body, BoxError, Bytes, Client, ClientError, ClientErrorKind, ClientResponse, ProtocolError,
    TimeoutKind, Version,
};
use brigade_runtime::{EventLoop, JoinHandle, gather, run, spawn, time};
use futures_util::future::poll_immediate;
use futures_util::stream;

use http2_frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, header, setting,
};
use http2_server::{Http2Server, Peer, block, head, patiently, response};

// RFC 9113 section 7.
const NO_ERROR: u32 = 0x0;
const PROTOCOL_ERROR: u32 = 0x1;
const REFUSED_STREAM: u32 = 0x7;
const CANCEL: u32 = 0x8;

// RFC 9113 section 6.5.2.
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

type Sent = JoinHandle<Result<ClientResponse, ClientError>>;

/// Sends a request in a task of its own.
fn get(client: &Client, server: &Http2Server) -> Sent {
    spawn(client.get(server.url("/")).send())
}

fn post(client: &Client, server: &Http2Server, body: impl Into<Body>) -> Sent {
    spawn(client.post(server.url("/")).body(body).send())
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, bytes)
}

async fn received(sent: Sent) -> ClientResponse {
    patiently(sent).await.unwrap().unwrap()
}

/// Responds to the next request, and waits until `sent` has its response.
async fn serve(peer: &Peer, sent: Sent) {
    let stream = peer.request().await;
    peer.send(&response(stream, 204)).await;
    drop(received(sent).await);
}

async fn failed(sent: Sent) -> ClientError {
    patiently(sent).await.unwrap().unwrap_err()
}

/// Returns a stream that counts its parts.
fn counted(count: &Rc<Cell<usize>>, parts_max: usize) -> Body {
    let count = count.clone();
    let parts = std::iter::repeat_with(move || {
        count.update(|count| count + 1);
        Ok::<_, BoxError>(Bytes::from_static(b"part"))
    });
    Body::stream(stream::iter(parts.take(parts_max)))
}

#[test]
fn requests_wait_for_the_first_connection_and_share_it() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let sent: Vec<_> = (0..5).map(|_| get(&client, &server)).collect();
        let peer = server.accept().await;
        for _ in &sent {
            let stream = peer.request().await;
            peer.send(&response(stream, 200)).await;
        }
        for sent in sent {
            assert_eq!(received(sent).await.version(), Version::HTTP_2);
        }
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn a_handshake_goes_on_if_the_request_that_began_it_is_dropped_or_not_polled() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        for is_dropped in [true, false] {
            let mut first = Box::pin(client.get(server.url("/")).send());
            assert!(poll_immediate(&mut first).await.is_none());
            let kept = (!is_dropped).then_some(first);
            let second = get(&client, &server);
            let peer = server.accept().await;
            let stream = peer.request().await;
            peer.send(&response(stream, 204)).await;
            assert_eq!(received(second).await.status(), 204);
            drop(kept);
            client.close_idle();
            peer.rest().await;
        }
        assert_eq!(client.connections_opened(), 2);
    });
}

#[test]
fn another_request_connects_if_the_handshake_fails() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let (first, second) = (get(&client, &server), get(&client, &server));
        drop(server.accept_socket().await);
        let error = failed(first).await;
        assert!(matches!(error.kind(), ClientErrorKind::Connect(_)), "{error:?}");
        let peer = server.accept().await;
        let stream = peer.request().await;
        peer.send(&response(stream, 204)).await;
        assert_eq!(received(second).await.status(), 204);
    });
}

#[test]
fn requests_to_a_server_of_http1_do_not_wait_for_each_other() {
    run(async {
        let server = Http2Server::offering(&["http/1.1"]);
        let client = server.client().build();
        let sent: Vec<_> = (0..3).map(|_| get(&client, &server)).collect();
        let mut streams = Vec::new();
        for _ in &sent {
            streams.push(server.accept_tls().await);
        }
        // None has been answered before all were there.
        for stream in &streams {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
        for sent in sent {
            assert_eq!(received(sent).await.version(), Version::HTTP_11);
        }
    });
}

#[test]
fn the_servers_limit_of_streams_is_respected() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let (first, second) = (get(&client, &server), get(&client, &server));
        let stream = peer.request().await;
        peer.send(&frame(PING, 0, 0, &[1; 8])).await;
        loop {
            let frame = peer.next().await.unwrap();
            assert_ne!(frame.kind, HEADERS, "beyond the limit");
            if frame.kind == PING && frame.payload == [1; 8] {
                break;
            }
        }
        peer.send(&response(stream, 204)).await;
        serve(&peer, first).await;
        drop(received(second).await);
        assert_eq!(client.connections_opened(), 1);
    });
}

/// Opens the connection of a client by a request, after which the client knows the settings.
async fn connected(client: &Client, server: &Http2Server, settings: &[u8]) -> Peer {
    let sent = get(client, server);
    let peer = server.accept_with(settings).await;
    let (mut stream, mut is_known) = (None, false);
    while stream.is_none() || !is_known {
        let frame = peer.next().await.unwrap();
        is_known |= frame.kind == SETTINGS && frame.flags & ACK != 0;
        stream = stream.or((frame.kind == HEADERS).then_some(frame.stream));
    }
    let stream = stream.unwrap();
    peer.send(&response(stream, 200)).await;
    drop(received(sent).await);
    peer
}

/// Opens a connection with the default settings.
async fn kept(client: &Client, server: &Http2Server) -> Peer {
    connected(client, server, &frame(SETTINGS, 0, 0, &[])).await
}

#[test]
fn a_request_waits_for_a_stream_within_the_connect_timeout() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().connect_timeout(Duration::from_millis(600)).build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let first = get(&client, &server);
        let stream = peer.request().await;
        let mut error = failed(post(&client, &server, "text")).await;
        let kind = error.kind();
        assert!(matches!(kind, ClientErrorKind::Timeout(TimeoutKind::Connect, _)), "{kind}");
        assert!(error.take_request().is_some(), "nothing of it was sent");
        peer.send(&response(stream, 204)).await;
        drop(received(first).await);
        // The connection is as good as before.
        let third = get(&client, &server);
        serve(&peer, third).await;
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn a_request_that_is_not_polled_keeps_no_stream_from_others() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let first = get(&client, &server);
        let stream = peer.request().await;
        let mut unpolled = Box::pin(client.get(server.url("/")).send());
        // It waits for a stream, and then is not polled any more.
        assert!(poll_immediate(&mut unpolled).await.is_none());
        let (third, fourth) = (get(&client, &server), get(&client, &server));
        peer.send(&response(stream, 204)).await;
        drop(received(first).await);
        for sent in [third, fourth] {
            serve(&peer, sent).await;
        }
        let unpolled = spawn(unpolled);
        serve(&peer, unpolled).await;
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn many_responses_that_are_dropped_at_once_do_not_cost_the_connection() {
    const COUNT: usize = 200;
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 5000)).await;
        let sent: Vec<_> = (0..COUNT).map(|_| get(&client, &server)).collect();
        let mut streams = Vec::new();
        for _ in &sent {
            streams.push(peer.request().await);
        }
        let heads = streams.iter().flat_map(|stream| head(*stream, 200, &[])).collect::<Vec<_>>();
        peer.send(&heads).await;
        let mut responses = Vec::new();
        for sent in sent {
            responses.push(received(sent).await);
        }
        drop(responses);
        for _ in 0..COUNT {
            peer.until(RST_STREAM).await;
        }
        // What the server has sent before it sees the resets.
        let late = streams.iter().flat_map(|stream| frame(DATA, 0, *stream, &[0; 300]));
        let late = late.collect::<Vec<_>>();
        for _ in 0..10 {
            peer.send(&late).await;
        }
        let last = get(&client, &server);
        serve(&peer, last).await;
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn an_upload_that_is_given_up_takes_nothing_of_the_shared_window() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let window = setting(INITIAL_WINDOW_SIZE, i32::MAX as u32);
        let peer = connected(&client, &server, &window).await;
        let first = post(&client, &server, vec![0; 1_000_000]);
        let stream = peer.request().await;
        let mut left = 65_535;
        while left > 0 {
            left -= peer.until(DATA).await.payload.len();
        }
        peer.send(&head(stream, 413, &[])).await;
        let refused = received(first).await;
        let second = post(&client, &server, "text");
        peer.send(&frame(WINDOW_UPDATE, 0, 0, &4u32.to_be_bytes())).await;
        let stream = peer.request().await;
        assert_eq!(peer.until(DATA).await.payload, b"text");
        peer.send(&response(stream, 204)).await;
        drop(received(second).await);
        drop(refused);
    });
}

#[test]
fn a_connection_that_was_silent_until_a_total_timeout_gets_no_more_requests() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let request = client.get(server.url("/")).timeout(Duration::from_millis(300));
        let sent = spawn(request.send());
        peer.request().await;
        let error = failed(sent).await;
        assert!(matches!(error.kind(), ClientErrorKind::Timeout(TimeoutKind::Total, _)));
        let sent = get(&client, &server);
        let other = server.accept().await;
        serve(&other, sent).await;
        assert_eq!(client.connections_opened(), 2);
        drop(peer);
    });
}

#[test]
fn a_request_that_the_server_refuses_unseen_is_sent_again() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let sent = post(&client, &server, "text");
        let stream = peer.request().await;
        peer.send(&reset(stream, REFUSED_STREAM)).await;
        let stream = peer.request().await;
        peer.send(&response(stream, 204)).await;
        assert_eq!(received(sent).await.status(), 204);
        // Only once, unless the client has retries.
        let sent = post(&client, &server, "text");
        for _ in 0..2 {
            let stream = peer.request().await;
            peer.send(&reset(stream, REFUSED_STREAM)).await;
        }
        let mut error = failed(sent).await;
        assert!(matches!(error.kind(), ClientErrorKind::Reset(REFUSED_STREAM)), "{error:?}");
        assert!(error.take_request().is_some(), "the server has not looked at it");
    });
}

#[test]
fn a_request_that_is_reset_otherwise_is_not_sent_again() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let sent = get(&client, &server);
        let stream = peer.request().await;
        peer.send(&reset(stream, CANCEL)).await;
        let mut error = failed(sent).await;
        assert!(matches!(error.kind(), ClientErrorKind::Reset(CANCEL)), "{error:?}");
        assert!(error.take_request().is_none());
    });
}

#[test]
fn a_request_above_the_last_stream_of_a_goaway_is_sent_on_a_new_connection() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let (first, second) = (get(&client, &server), post(&client, &server, "text"));
        let below = peer.request().await;
        let above = peer.request().await;
        assert!(below < above);
        peer.send(&go_away(below, NO_ERROR)).await;
        let other = server.accept().await;
        let stream = other.request().await;
        other.send(&response(stream, 201)).await;
        assert_eq!(received(second).await.status(), 201);
        // The one below is still answered.
        peer.send(&response(below, 202)).await;
        assert_eq!(received(first).await.status(), 202);
        let third = get(&client, &server);
        let stream = other.request().await;
        other.send(&response(stream, 203)).await;
        assert_eq!(received(third).await.status(), 203);
        assert_eq!(client.connections_opened(), 2);
        // The client closes the old one.
        assert!(peer.rest().await.iter().all(|frame| frame.kind != HEADERS));
    });
}

#[test]
fn a_request_that_waits_for_a_stream_goes_elsewhere_after_a_goaway() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let first = get(&client, &server);
        let stream = peer.request().await;
        let count = Rc::new(Cell::new(0));
        let second = post(&client, &server, counted(&count, 1));
        time::sleep(Duration::from_millis(10)).await;
        peer.send(&go_away(stream, NO_ERROR)).await;
        let other = server.accept().await;
        serve(&other, second).await;
        drop((first, peer));
    });
}

#[test]
fn a_connection_that_dies_fails_its_requests_except_what_may_be_repeated() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let (idempotent, other) = (get(&client, &server), post(&client, &server, "text"));
        peer.request().await;
        peer.request().await;
        peer.stream.close().await.unwrap();
        let peer = server.accept().await;
        let stream = peer.request().await;
        peer.send(&response(stream, 204)).await;
        assert_eq!(received(idempotent).await.status(), 204);
        let error = failed(other).await;
        assert!(matches!(error.kind(), ClientErrorKind::NoResponse), "{error:?}");
    });
}

#[test]
fn a_connection_that_ends_within_a_body_is_an_error() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let sent = get(&client, &server);
        let peer = server.accept().await;
        let stream = peer.request().await;
        peer.send(&head(stream, 200, &[])).await;
        peer.send(&frame(DATA, 0, stream, b"half")).await;
        let mut response = received(sent).await;
        assert_eq!(response.chunk().await.unwrap().unwrap(), "half");
        peer.stream.close().await.unwrap();
        let error = response.chunk().await.unwrap().unwrap_err();
        let expected = ClientErrorKind::Protocol(ProtocolError::UnexpectedEnd);
        assert_eq!(error.kind().to_string(), expected.to_string());
    });
}

#[test]
fn a_stream_of_which_a_part_was_sent_is_not_sent_again() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().retries(3).build();
        let peer = kept(&client, &server).await;
        let count = Rc::new(Cell::new(0));
        let sent = post(&client, &server, counted(&count, 1));
        let stream = peer.request().await;
        peer.until(DATA).await;
        peer.send(&reset(stream, REFUSED_STREAM)).await;
        let error = failed(sent).await;
        assert!(matches!(error.kind(), ClientErrorKind::Reset(REFUSED_STREAM)), "{error:?}");
        assert_eq!(count.get(), 1);
    });
}

#[test]
fn a_request_that_cannot_be_sent_is_neither_sent_again_nor_given_back() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().retries(3).retry_backoff(Duration::MAX).build();
        let peer = kept(&client, &server).await;
        let request = client.post(server.url("/")).header("content-length", 3).body("text");
        let mut error = patiently(request.send()).await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Encode(_)), "{error:?}");
        assert!(error.take_request().is_none());
        assert_eq!(client.connections_idle(), 1);
        drop(peer);
    });
}

#[test]
fn a_body_waits_for_the_100_that_it_expects() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let expecting = |count: &Rc<Cell<usize>>| {
            let request = client.post(server.url("/")).header("expect", "100-continue");
            spawn(request.body(counted(count, 1)).send())
        };
        let peer = kept(&client, &server).await;
        let count = Rc::new(Cell::new(0));
        let sent = expecting(&count);
        let stream = peer.request().await;
        assert_eq!(count.get(), 0);
        peer.send(&head(stream, 100, &[])).await;
        assert_eq!(peer.until(DATA).await.payload, b"part");
        peer.send(&response(stream, 204)).await;
        drop(received(sent).await);
        // Without a 100 there is no body.
        let count = Rc::new(Cell::new(0));
        let sent = expecting(&count);
        let stream = peer.request().await;
        peer.send(&response(stream, 417)).await;
        assert_eq!(received(sent).await.status(), 417);
        assert_eq!(peer.until(RST_STREAM).await.code(), CANCEL);
        assert_eq!(count.get(), 0);
        // A server that does not know it gets the body after a second.
        let sent = expecting(&count);
        let stream = peer.request().await;
        peer.until(DATA).await;
        peer.send(&response(stream, 204)).await;
        drop(received(sent).await);
    });
}

#[test]
fn no_more_is_sent_to_a_server_that_has_refused_the_request() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let count = Rc::new(Cell::new(0));
        let sent = post(&client, &server, counted(&count, usize::MAX));
        let peer = server.accept().await;
        let stream = peer.request().await;
        peer.send(&[head(stream, 413, &[]), data(stream, b"too large")].concat()).await;
        let mut response = received(sent).await;
        let before = count.get();
        assert_eq!(response.text().await.unwrap(), "too large");
        assert_eq!(count.get(), before);
        drop(response);
        assert_eq!(peer.until(RST_STREAM).await.code(), CANCEL);
    });
}

#[test]
fn informational_responses_are_skipped_within_a_limit() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let sent = get(&client, &server);
        let stream = peer.request().await;
        let early = head(stream, 103, &[("link", "</style.css>")]);
        peer.send(&[early.repeat(100), response(stream, 204)].concat()).await;
        assert_eq!(received(sent).await.status(), 204);
        let sent = get(&client, &server);
        let stream = peer.request().await;
        peer.send(&head(stream, 103, &[]).repeat(101)).await;
        let error = failed(sent).await;
        let expected = ClientErrorKind::Protocol(ProtocolError::TooManyInformational);
        assert_eq!(error.kind().to_string(), expected.to_string());
        let sent = get(&client, &server);
        let stream = peer.request().await;
        peer.send(&head(stream, 101, &[("upgrade", "x")])).await;
        assert!(matches!(failed(sent).await.kind(), ClientErrorKind::Http2(PROTOCOL_ERROR)));
        let sent = get(&client, &server);
        let stream = peer.request().await;
        peer.send(&head(stream, 101, &[])).await;
        let error = failed(sent).await;
        let expected = ClientErrorKind::Protocol(ProtocolError::UnexpectedResponse);
        assert_eq!(error.kind().to_string(), expected.to_string());
    });
}

#[test]
fn a_malformed_response_is_an_error_of_its_stream() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let malformed: [fn(u32) -> Vec<u8>; 5] = [
            // Another length than was announced.
            |stream| [head(stream, 200, &[("content-length", "3")]), data(stream, b"12")].concat(),
            |stream| [head(stream, 200, &[("content-length", "1")]), data(stream, b"12")].concat(),
            // Headers of a connection (RFC 9113 section 8.2.2).
            |stream| head(stream, 200, &[("connection", "close")]),
            |stream| head(stream, 200, &[("transfer-encoding", "chunked")]),
            |stream| frame(HEADERS, END_HEADERS, stream, &header("x-a", "no status")),
        ];
        for (number, malformed) in malformed.iter().enumerate() {
            let sent = get(&client, &server);
            let stream = peer.request().await;
            peer.send(&malformed(stream)).await;
            let error = match patiently(sent).await.unwrap() {
                Ok(mut response) => response.bytes().await.unwrap_err(),
                Err(error) => error,
            };
            let kind = error.kind();
            assert!(matches!(kind, ClientErrorKind::Http2(PROTOCOL_ERROR)), "{number}: {kind}");
        }
        let sent = get(&client, &server);
        serve(&peer, sent).await;
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn a_server_that_breaks_the_framing_ends_its_connection() {
    let broken: [fn(u32) -> Vec<u8>; 3] = [
        |_| frame(DATA, 0, 0, b"x"),
        |stream| head(stream, 200, &[("X-Upper-Case", "1")]),
        |stream| frame(http2_frames::PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2]),
    ];
    for (number, broken) in broken.into_iter().enumerate() {
        run(async move {
            let server = Http2Server::start();
            let client = server.client().build();
            let peer = kept(&client, &server).await;
            let sent = get(&client, &server);
            let stream = peer.request().await;
            peer.send(&broken(stream)).await;
            let error = failed(sent).await;
            let kind = error.kind();
            assert!(matches!(kind, ClientErrorKind::Http2(PROTOCOL_ERROR)), "{number}: {kind}");
            assert_eq!(peer.until(GOAWAY).await.code(), PROTOCOL_ERROR);
            assert_eq!(client.connections_idle(), 0);
        });
    }
}

#[test]
fn headers_far_beyond_the_limit_end_the_connection() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let sent = get(&client, &server);
        let stream = peer.request().await;
        peer.send(&frame(HEADERS, 0, stream, &block(200, &[]))).await;
        let more = frame(CONTINUATION, 0, stream, &header("x-a", &"x".repeat(10_000)));
        for _ in 0..1000 {
            if !peer.try_send(&more).await {
                break;
            }
        }
        let error = failed(sent).await;
        assert!(!matches!(error.kind(), ClientErrorKind::Timeout(..)), "{error:?}");
        peer.rest().await;
        assert_eq!(client.connections_idle(), 0);
    });
}

#[test]
fn a_flood_of_frames_that_ask_for_nothing_ends_the_connection() {
    let floods: [fn(u32) -> Vec<u8>; 5] = [
        |_| frame(PING, 0, 0, &[0; 8]),
        |_| frame(SETTINGS, 0, 0, &[]),
        |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        |stream| frame(DATA, 0, stream, &[]),
        |stream| head(stream, 103, &[]),
    ];
    for (number, flood) in floods.into_iter().enumerate() {
        run(async move {
            let server = Http2Server::start();
            let client = server.client().build();
            let peer = kept(&client, &server).await;
            let sent = post(&client, &server, "text");
            let stream = peer.request().await;
            if number == 3 {
                peer.send(&head(stream, 200, &[])).await;
            }
            let frames = flood(stream).repeat(100);
            for _ in 0..1000 {
                if !peer.try_send(&frames).await {
                    break;
                }
            }
            let error = match patiently(sent).await.unwrap() {
                Ok(mut response) => response.bytes().await.unwrap_err(),
                Err(error) => error,
            };
            assert!(!matches!(error.kind(), ClientErrorKind::Timeout(..)), "{number}: {error:?}");
            assert_eq!(client.connections_idle(), 0, "{number}");
        });
    }
}

#[test]
fn a_flow_of_responses_is_no_flood() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 5000)).await;
        // Each head counts until its request has earned it.
        let sent: Vec<_> = (0..2000).map(|_| get(&client, &server)).collect();
        let mut streams = Vec::new();
        for _ in &sent {
            streams.push(peer.request().await);
        }
        let heads = streams.iter().flat_map(|stream| head(*stream, 200, &[])).collect::<Vec<_>>();
        let ends = streams.iter().flat_map(|stream| data(*stream, b"x")).collect::<Vec<_>>();
        let all = [heads, ends].concat();
        let (_, texts) = gather((
            peer.send(&all),
            gather(
                sent.into_iter()
                    .map(async |sent| received(sent).await.text().await.unwrap())
                    .collect::<Vec<_>>(),
            ),
        ))
        .await;
        assert!(texts.iter().all(|text| text == "x"));
        let last = get(&client, &server);
        serve(&peer, last).await;
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn a_server_without_room_for_the_body_is_a_write_timeout() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().write_timeout(Duration::from_millis(50)).build();
        let peer = connected(&client, &server, &setting(INITIAL_WINDOW_SIZE, 0)).await;
        let error = failed(post(&client, &server, "text")).await;
        let kind = error.kind();
        assert!(matches!(kind, ClientErrorKind::Timeout(TimeoutKind::Write, _)), "{kind}");
        assert_eq!(peer.until(RST_STREAM).await.code(), CANCEL);
    });
}

#[test]
fn a_connection_that_was_silent_during_a_timeout_gets_no_more_requests() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().head_timeout(Duration::from_millis(300)).build();
        let peer = kept(&client, &server).await;
        let sent = get(&client, &server);
        peer.request().await;
        let error = failed(sent).await;
        assert!(error.is_timeout(), "{error:?}");
        let sent = get(&client, &server);
        let other = server.accept().await;
        serve(&other, sent).await;
        assert_eq!(client.connections_opened(), 2);
        peer.rest().await;
    });
}

#[test]
fn a_body_below_the_minimum_rate_is_an_error() {
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(async {
        let server = Http2Server::start();
        let client = server.client().body_gap_timeout(Duration::MAX).body_rate(100).build();
        let sent = get(&client, &server);
        let peer = server.accept().await;
        let stream = peer.request().await;
        peer.send(&head(stream, 200, &[])).await;
        let mut response = received(sent).await;
        let slow = spawn(async move {
            while peer.try_send(&frame(DATA, 0, stream, b"x")).await {
                time::sleep(Duration::from_secs(5)).await;
            }
        });
        let began = time::now();
        let error = loop {
            if let Err(error) = response.chunk().await.unwrap() {
                break error;
            }
        };
        assert!(matches!(error.kind(), ClientErrorKind::TooSlow(100)), "{error:?}");
        let waited = time::now() - began;
        assert!((Duration::from_secs(30)..Duration::from_secs(40)).contains(&waited), "{waited:?}");
        slow.abort();
    });
}

#[test]
fn a_server_that_does_not_answer_pings_is_given_up() {
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(async {
        let server = Http2Server::start();
        let client = server.client().head_timeout(Duration::MAX).build();
        let peer = kept(&client, &server).await;
        let began = time::now();
        let sent = post(&client, &server, "text");
        let stream = peer.request().await;
        // One that is answered.
        let ping = peer.until(PING).await;
        peer.send(&frame(PING, ACK, 0, &ping.payload)).await;
        peer.until(PING).await;
        let error = sent.await.unwrap().unwrap_err();
        let waited = time::now() - began;
        assert!((Duration::from_secs(60)..Duration::from_secs(61)).contains(&waited), "{waited:?}");
        assert!(error.to_string().contains("has not answered a PING"), "{error}");
        assert!(stream > 0);
    });
}

#[test]
fn a_request_that_is_given_up_while_it_waits_is_never_sent() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let first = get(&client, &server);
        let stream = peer.request().await;
        let request = client.post(server.url("/")).body("text").send();
        assert!(time::timeout(Duration::from_millis(20), request).await.is_err());
        let third = get(&client, &server);
        peer.send(&response(stream, 204)).await;
        drop(received(first).await);
        // Its head ends its stream, so it is not the `POST`.
        let next = peer.until(HEADERS).await;
        assert_eq!(next.flags & END_STREAM, END_STREAM);
        peer.send(&response(next.stream, 204)).await;
        drop(received(third).await);
    });
}

#[test]
fn a_response_that_is_complete_holds_no_stream_although_it_is_not_read() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let (first, second) = (get(&client, &server), get(&client, &server));
        let stream = peer.request().await;
        peer.send(&[head(stream, 200, &[]), data(stream, b"unread")].concat()).await;
        serve(&peer, second).await;
        assert_eq!(received(first).await.text().await.unwrap(), "unread");
    });
}

#[test]
fn more_streams_are_opened_when_the_server_raises_its_limit() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = connected(&client, &server, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let sent = [get(&client, &server), get(&client, &server), get(&client, &server)];
        let mut streams = vec![peer.request().await];
        peer.send(&setting(MAX_CONCURRENT_STREAMS, 3)).await;
        streams.push(peer.request().await);
        streams.push(peer.request().await);
        for stream in streams {
            peer.send(&response(stream, 204)).await;
        }
        for sent in sent {
            drop(received(sent).await);
        }
    });
}

#[test]
fn a_server_that_takes_nothing_from_its_socket_is_a_write_timeout() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().write_timeout(Duration::from_millis(100)).build();
        let window = setting(INITIAL_WINDOW_SIZE, i32::MAX as u32);
        let peer = connected(&client, &server, &window).await;
        peer.send(&frame(WINDOW_UPDATE, 0, 0, &(i32::MAX as u32 - 65_535).to_be_bytes())).await;
        // More than the buffers of two sockets.
        let error = failed(post(&client, &server, vec![0; 64 * 1024 * 1024])).await;
        let kind = error.kind();
        assert!(matches!(kind, ClientErrorKind::Timeout(TimeoutKind::Write, _)), "{kind}");
        assert_eq!(client.connections_idle(), 0);
        drop(peer);
    });
}

#[test]
fn a_server_that_takes_too_little_from_its_socket_is_too_slow_for_all_requests() {
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(async {
        let server = Http2Server::start();
        let client = server.client().write_timeout(Duration::MAX).head_timeout(Duration::MAX);
        let client = client.body_rate(100).build();
        let window = setting(INITIAL_WINDOW_SIZE, i32::MAX as u32);
        let peer = connected(&client, &server, &window).await;
        peer.send(&frame(WINDOW_UPDATE, 0, 0, &(i32::MAX as u32 - 65_535).to_be_bytes())).await;
        let other = get(&client, &server);
        peer.request().await;
        // More than the buffers of two sockets.
        let upload = post(&client, &server, vec![0; 64 * 1024 * 1024]);
        for sent in [other, upload] {
            let error = sent.await.unwrap().unwrap_err();
            assert!(matches!(error.kind(), ClientErrorKind::TooSlow(100)), "{error:?}");
        }
        drop(peer);
    });
}

#[test]
fn a_dropped_response_resets_its_stream() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let peer = kept(&client, &server).await;
        let sent = get(&client, &server);
        let stream = peer.request().await;
        peer.send(&head(stream, 200, &[])).await;
        drop(received(sent).await);
        let reset = peer.until(RST_STREAM).await;
        assert_eq!((reset.stream, reset.code()), (stream, CANCEL));
        assert_eq!(client.connections_idle(), 1);
    });
}

#[test]
fn server_push_is_turned_off() {
    run(async {
        let server = Http2Server::start();
        let client = server.client().build();
        let sent = get(&client, &server);
        let peer = server.accept().await;
        let settings = peer.until(SETTINGS).await;
        // SETTINGS_ENABLE_PUSH is 0.
        assert!(settings.payload.chunks(6).any(|setting| setting == [0, 2, 0, 0, 0, 0]));
        drop(sent);
    });
}
