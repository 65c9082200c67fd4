//! Clients of HTTP/2 that mean no good: each costs one connection, or one stream, at most.
#![forbid(unsafe_code)]
#![cfg(all(feature = "http2", feature = "hyper"))]

mod http2_client;
mod http2_cost;
mod http2_frames;
mod sockets;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use brigade_http::{
    Body, BodyError, BoxError, Bytes, Request, Router, Server, Timeouts, get, post,
};
use futures_util::{StreamExt, stream};

use http2_client::allowed;
use http2_cost::{count_frames, cpu_time, measured, serve_honest, take_frames};
use http2_frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    Raw, SETTINGS, WINDOW_UPDATE, assert_served, block, frame, go_away, header, post as post_head,
    setting,
};
use sockets::{PATIENCE, TestServer};

const NO_ERROR: u32 = 0x0;
const PROTOCOL_ERROR: u32 = 0x1;
const SETTINGS_TIMEOUT: u32 = 0x4;
const FRAME_SIZE_ERROR: u32 = 0x6;
const REFUSED_STREAM: u32 = 0x7;
const CANCEL: u32 = 0x8;
const COMPRESSION_ERROR: u32 = 0x9;
const ENHANCE_YOUR_CALM: u32 = 0xb;

const PRIORITY: u8 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// How much memory an attack may cost. The server's own code and the test's threads need some, too.
const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many frames of a connection are read at most before an attack ends it: the limit of control
/// frames, those that are for free meanwhile, and what is read at once.
const FRAMES_MAX: u64 = 5000;

/// How much CPU time of its loop an attack may cost, as the number of requests for `/` that cost as
/// much.
const REQUESTS_MAX: u32 = 15_000;
/// How many requests are sent to find out what one costs.
const REQUESTS_MEASURED: u32 = 1000;

/// The tests of this file run one after the other, since they measure the memory of the process.
static TURN: Mutex<()> = Mutex::new(());

/// Sends when it is dropped.
struct OnDrop(mpsc::Sender<()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Returns the memory of this process.
fn memory_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    4096 * resident.unwrap_or(0_usize)
}

fn app() -> Router {
    async fn count(mut request: Request) -> Result<String, BodyError> {
        let mut bytes = 0;
        while let Some(part) = request.body_mut().chunk().await {
            bytes += part?.len();
        }
        Ok(bytes.to_string())
    }
    let endless =
        async || Body::stream(stream::repeat(Bytes::from(vec![1; 8192])).map(Ok::<_, BoxError>));
    measured(Router::new())
        .route("/", get(async || "hello"))
        .route("/wait", get(std::future::pending::<()>))
        .route("/count", post(count))
        .route("/large", get(async || "a".repeat(1_000_000)))
        .route("/endless", get(endless))
}

/// Runs `attack` against a server, and asserts that others are served during and after it, and that
/// it has cost little memory and CPU time.
fn withstand(timeouts: Timeouts, attack: impl FnOnce(SocketAddr)) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let options = |server: Server| allowed(server).timeouts(timeouts);
    let server = TestServer::start_with(options, app);
    let of_requests = serve_honest(server.address, REQUESTS_MEASURED);
    count_frames();
    let (before, cpu_before) = (memory_bytes(), cpu_time(server.address));
    std::thread::scope(|scope| {
        let address = server.address;
        let others = scope.spawn(move || (0..5).for_each(|_| assert_served(address)));
        attack(server.address);
        others.join().unwrap();
    });
    let (cpu, frames) = (cpu_time(server.address) - cpu_before, take_frames());
    let more = memory_bytes().saturating_sub(before);
    assert!(more < MEMORY_BYTES_MAX, "{more} bytes");
    println!("{frames} frames, {cpu:?}; {REQUESTS_MEASURED} requests: {of_requests:?}");
    assert!((1..=FRAMES_MAX).contains(&frames), "{frames} frames");
    let of_requests = of_requests.max(serve_honest(server.address, REQUESTS_MEASURED));
    let cpu_max = of_requests * (REQUESTS_MAX / REQUESTS_MEASURED);
    assert!(cpu <= cpu_max, "{cpu:?}, but {REQUESTS_MAX} requests cost {cpu_max:?}");
    assert_served(server.address);
}

fn short() -> Timeouts {
    let timeout = Duration::from_millis(400);
    Timeouts { head: timeout, body_gap: timeout, write: timeout, ..Timeouts::default() }
}

/// Opens streams and resets each at once.
fn reset_at_once(address: SocketAddr) {
    let frames = Raw::plain(address).flood(|n| {
        let id = 2 * n + 1;
        let reset = frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes());
        [http2_frames::get(id, "/wait"), reset].concat()
    });
    assert_eq!(go_away(&frames), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn streams_that_are_reset_at_once_end_the_connection() {
    withstand(Timeouts::default(), reset_at_once);
}

/// Opens streams and resets each once its handler runs.
fn reset_later(address: SocketAddr) {
    let mut raw = Raw::plain(address);
    let mut code = None;
    for n in 0..10_000 {
        let id = 2 * n + 1;
        raw.send(&[http2_frames::get(id, "/wait"), frame(PING, 0, 0, &[0; 8])].concat());
        // The server has looked at the request when it answers the ping.
        let answer = loop {
            match raw.next() {
                Some(frame) if matches!(frame.kind, PING | GOAWAY) => break Some(frame),
                Some(_) => {}
                None => break None,
            }
        };
        match answer {
            Some(frame) if frame.kind == PING => {}
            Some(frame) => {
                code = Some(frame.code());
                break;
            }
            None => break,
        }
        raw.send(&frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()));
    }
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
}

#[test]
fn streams_that_are_reset_once_their_handlers_run_end_the_connection() {
    withstand(Timeouts::default(), reset_later);
}

/// Begins the headers of a request, and continues them by `part` again and again.
fn continue_headers(address: SocketAddr, part: &[u8]) {
    let mut raw = Raw::plain(address);
    raw.send(&frame(HEADERS, END_STREAM, 1, &block("GET", "/")));
    let frames = raw.flood(|_| frame(CONTINUATION, 0, 1, part));
    let code = go_away(&frames);
    let is_right = matches!(code, Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR));
    assert!(is_right, "{} bytes: {code:?}", part.len());
}

#[test]
fn a_flood_of_continuations_ends_the_connection() {
    // Nothing, the beginning of a header that is never complete, and whole headers.
    for part in [vec![], vec![0], header("x-large", &"v".repeat(16_000))] {
        withstand(Timeouts::default(), |address| continue_headers(address, &part));
    }
}

/// Sends a frame that asks for nothing, again and again.
fn repeat(address: SocketAddr, flooding: &[u8]) {
    let piece = flooding.repeat(100);
    let frames = Raw::plain(address).flood(|_| piece.clone());
    assert_eq!(go_away(&frames), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_flood_of_settings_or_pings_or_other_frames_ends_the_connection() {
    let unknown = 0x77;
    for (name, flooding) in [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("acknowledgements", frame(PING, ACK, 0, &[0; 8])),
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
        ("unknown", frame(unknown, 0, 0, b"?")),
    ] {
        println!("{name}");
        withstand(Timeouts::default(), |address| repeat(address, &flooding));
    }
}

/// Opens streams and sends an error on each, so that the server resets it: a window that is too
/// large (RFC 9113 section 6.9.1).
fn err_on_streams(address: SocketAddr) {
    let code = break_streams(address, |id| frame(WINDOW_UPDATE, 0, id, &[0x7f, 0xff, 0xff, 0xff]));
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
}

/// Opens streams, sends the frame `error` on each, and returns the code that ends the connection.
fn break_streams(address: SocketAddr, error: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let frames = Raw::plain(address).flood(|n| {
        let id = 2 * n + 1;
        [http2_frames::get(id, "/wait"), error(id)].concat()
    });
    go_away(&frames)
}

#[test]
fn streams_that_the_server_has_to_reset_end_the_connection() {
    withstand(Timeouts::default(), err_on_streams);
    // h2 takes most others, which may be errors of the stream, for errors of the connection.
    type Error = fn(u32) -> Vec<u8>;
    let others: [(&str, Error); 5] = [
        ("data after the end", |id| frame(DATA, 0, id, b"more")),
        ("headers after the end", |id| http2_frames::get(id, "/wait")),
        ("a window that is not opened", |id| frame(WINDOW_UPDATE, 0, id, &[0; 4])),
        ("a short priority", |id| frame(PRIORITY, 0, id, &[0; 4])),
        ("a priority after itself", |id| {
            frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[0]].concat())
        }),
    ];
    for (name, error) in others {
        println!("{name}");
        withstand(Timeouts::default(), |address| {
            let code = break_streams(address, error).expect("the connection ends");
            let codes = [PROTOCOL_ERROR, FRAME_SIZE_ERROR, ENHANCE_YOUR_CALM];
            assert!(codes.contains(&code), "{code}");
        });
    }
}

/// Sends a header of 4,000 bytes, which goes into the table, and refers to it by a byte each.
fn refer_to_table(address: SocketAddr) {
    let mut raw = Raw::plain(address);
    let mut bomb = block("GET", "/");
    let large = header("x-large", &"v".repeat(4000));
    bomb.push(0x40);
    bomb.extend(&large[1..]);
    bomb.extend(vec![0x80 | 62; 10_000]);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    let answer = loop {
        let frame = raw.next().expect("an answer");
        if matches!(frame.kind, HEADERS | GOAWAY | RST_STREAM) {
            break frame;
        }
    };
    match answer.kind {
        HEADERS => assert!(answer.has_status("431")),
        _ => assert_eq!(answer.code(), ENHANCE_YOUR_CALM),
    }
}

#[test]
fn headers_that_grow_by_the_table_get_a_431_or_end_the_connection() {
    withstand(Timeouts::default(), refer_to_table);
}

#[test]
fn a_table_beyond_its_limit_ends_the_connection() {
    withstand(Timeouts::default(), |address| {
        let mut raw = Raw::plain(address);
        // An update of the table's size to 2^20 (RFC 7541 section 6.3).
        let mut update = vec![0x3f, 0xe1, 0xff, 0x3f];
        update.extend(block("GET", "/"));
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &update));
        let code = raw.until(GOAWAY).code();
        assert!(matches!(code, COMPRESSION_ERROR | PROTOCOL_ERROR), "{code}");
    });
}

#[test]
fn a_response_without_room_is_given_up_and_its_connection_is_served() {
    withstand(short(), |address| {
        for (window, path) in
            [(0, "/large"), (1, "/large"), (5000, "/large"), (0, "/endless"), (9000, "/endless")]
        {
            let mut raw = Raw::connect(address, &setting(INITIAL_WINDOW_SIZE, window));
            raw.send(&http2_frames::get(1, path));
            let reset = raw.until(RST_STREAM);
            assert_eq!((reset.stream, reset.code()), (1, CANCEL), "{window} {path}");
            // The window of the next stream is the client's to open.
            raw.send(&http2_frames::get(3, "/"));
            assert!(raw.until(HEADERS).is_ok());
        }
    });
}

#[test]
fn a_small_response_without_room_holds_its_connection_no_longer_than_an_idle_one() {
    let timeouts = Timeouts { keep_alive: Duration::from_secs(1), ..short() };
    withstand(timeouts, |address| {
        let mut raw = Raw::connect(address, &setting(INITIAL_WINDOW_SIZE, 1));
        raw.send(&http2_frames::get(1, "/"));
        assert_eq!(raw.until(GOAWAY).code(), NO_ERROR);
        while raw.next().is_some() {}
    });
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (events, dropped) = mpsc::channel();
    let options = |server: Server| allowed(server).timeouts(short());
    let server = TestServer::start_with(options, move || {
        let events = events.clone();
        let endless = async move || {
            let on_drop = OnDrop(events.clone());
            let parts = stream::repeat(Bytes::from(vec![1; 8192])).map(move |part| {
                let _on_drop = &on_drop;
                Ok::<_, BoxError>(part)
            });
            Body::stream(parts)
        };
        Router::new().route("/endless", get(endless)).route("/", get(async || "hello"))
    });
    let window = (1 << 31) - 1;
    let mut raw = Raw::connect(server.address, &setting(INITIAL_WINDOW_SIZE, window));
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &(window - 65_535).to_be_bytes()));
    let before = memory_bytes();
    raw.send(&http2_frames::get(1, "/endless"));
    assert_eq!(dropped.recv_timeout(PATIENCE), Ok(()));
    assert!(memory_bytes().saturating_sub(before) < MEMORY_BYTES_MAX);
    assert_served(server.address);
}

/// Sends a body of `part` again and again.
fn repeat_data(address: SocketAddr, part: &[u8]) {
    let mut raw = Raw::plain(address);
    raw.send(&post_head(1, "/count"));
    let frames = raw.flood(|_| frame(DATA, 0, 1, part).repeat(100));
    assert_eq!(go_away(&frames), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_flood_of_empty_data_ends_the_connection() {
    withstand(Timeouts::default(), |address| repeat_data(address, &[]));
}

/// Begins the headers of a request, and then sends nothing.
fn send_slowly(address: SocketAddr) {
    let whole = http2_frames::get(1, "/");
    let unfinished = frame(HEADERS, END_STREAM, 1, &block("GET", "/"));
    for part in [&whole[..5], &whole[..12], &unfinished] {
        let mut raw = Raw::plain(address);
        raw.send(part);
        assert_eq!(raw.until(GOAWAY).code(), ENHANCE_YOUR_CALM);
        while raw.next().is_some() {}
    }
}

#[test]
fn headers_that_never_end_are_given_up() {
    withstand(short(), send_slowly);
}

#[test]
fn a_preface_that_never_ends_is_given_up() {
    withstand(short(), |address| {
        let settings = frame(SETTINGS, 0, 0, &[]);
        for part in [PREFACE, &[PREFACE, &settings[..3]].concat()] {
            let mut raw = Raw::silent(address);
            raw.send(part);
            assert_eq!(raw.until(GOAWAY).code(), SETTINGS_TIMEOUT);
            while raw.next().is_some() {}
        }
    });
}

/// Opens a thousand streams, and sends nothing on them.
fn leave_streams_idle(address: SocketAddr) {
    let mut raw = Raw::plain(address);
    let mut writer = raw.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let heads: Vec<u8> = (0..1000).flat_map(|n| post_head(2 * n + 1, "/count")).collect();
        let _ = writer.write_all(&heads);
    });
    let (mut refused, mut timed_out) = (0, 0);
    while timed_out + refused < 1000 {
        let frame = raw.next().expect("the connection goes on");
        match frame.kind {
            RST_STREAM if frame.code() == REFUSED_STREAM => refused += 1,
            // It says that the rest of the body is not wanted.
            RST_STREAM => assert_eq!(frame.code(), NO_ERROR),
            HEADERS => {
                assert!(frame.has_status("408"));
                timed_out += 1;
            }
            kind => assert_ne!(kind, GOAWAY, "{}", frame.code()),
        }
    }
    writer.join().unwrap();
    // While a machine is busy, the first ones may time out before the last ones are read.
    assert!(refused > 0 && timed_out >= 200, "{refused} were refused, {timed_out} timed out");
}

#[test]
fn streams_beyond_the_limit_are_refused_and_idle_ones_time_out() {
    withstand(short(), leave_streams_idle);
}

/// Prints what attacks cost, for docs/http2.md: how many frames of a connection are read, and the
/// CPU time of the loop for 100,000 frames, attackers that come back included.
#[test]
#[ignore = "prints figures, which need --release and a machine without other work"]
fn figures() {
    const FRAMES: u64 = 100_000;
    type Attack = fn(SocketAddr);
    let attacks: [(&str, Attack); 12] = [
        ("streams reset at once", reset_at_once),
        ("streams reset later", reset_later),
        ("streams the server has to reset", err_on_streams),
        ("CONTINUATION, empty", |address| continue_headers(address, &[])),
        ("CONTINUATION of 1 byte", |address| continue_headers(address, &[0])),
        ("CONTINUATION of 16 kB", |address| {
            continue_headers(address, &header("x-large", &"v".repeat(16_000)));
        }),
        ("SETTINGS", |address| repeat(address, &frame(SETTINGS, 0, 0, &[]))),
        ("PING", |address| repeat(address, &frame(PING, 0, 0, &[0; 8]))),
        ("WINDOW_UPDATE", |address| repeat(address, &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("DATA, empty", |address| repeat_data(address, &[])),
        ("header table", refer_to_table),
        ("slow headers", send_slowly),
    ];
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let options = |server: Server| allowed(server).timeouts(short());
    let server = TestServer::start_with(options, app);
    let address = server.address;
    serve_honest(address, 10_000);
    let per_request = serve_honest(address, FRAMES as u32);
    println!("requests: {per_request:.3?} for {FRAMES}");
    for (name, attack) in attacks {
        count_frames();
        let (before, began) = (cpu_time(address), Instant::now());
        let (mut frames, mut rounds) = (0, 0);
        while frames < FRAMES && began.elapsed() < Duration::from_secs(5) {
            attack(address);
            frames += take_frames();
            rounds += 1;
        }
        let cpu = cpu_time(address) - before;
        let of_all = cpu.as_secs_f64() * FRAMES as f64 / frames as f64;
        println!(
            "{name}: {} frames, {:?} a connection; {of_all:.3} s for {FRAMES}",
            frames / rounds,
            cpu / rounds as u32
        );
    }
}
