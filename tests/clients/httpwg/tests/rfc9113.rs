//! Runs the cases of httpwg against the server at $BASE, which speaks HTTP/2 by prior knowledge.

use std::fmt::Debug;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use std::{env, thread};

use buffet::IntoHalves;
use buffet::bufpool::initialize_allocator_with_num_bufs;
use httpwg::{Config, Conn};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime;
use tokio::task::LocalSet;

/// How long a case waits for a frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// 4 KiB each. The longest case takes a few.
const BUFFERS: u32 = 1024;

/// h2 ends the connection or the stream with this code, where the RFC has a more specific one.
const GENERAL_CODE: &str = "but got ProtocolError";
/// The stream is not reset, since there is a response.
const RESPONSE: &str = "last frame: (Some(#1:Data";

/// The cases that do not pass, and how they fail.
const DIFFERENT: &[(&str, &str)] = &[
    ("invalid_header_block_fragment", GENERAL_CODE),
    ("closed_sends_headers_frame", GENERAL_CODE),
    ("closed_sends_headers_frame_after_rst_stream", GENERAL_CODE),
    ("half_closed_remote_sends_headers_frame", GENERAL_CODE),
    ("sends_ping_frame_with_invalid_length", GENERAL_CODE),
    ("sends_priority_frame_with_invalid_length", GENERAL_CODE),
    ("sends_rst_stream_frame_with_invalid_length", GENERAL_CODE),
    ("sends_settings_frame_with_ack_and_payload", GENERAL_CODE),
    ("sends_settings_frame_with_invalid_length", GENERAL_CODE),
    ("sends_settings_initial_window_size_with_exceeded_max_window_size_value", GENERAL_CODE),
    ("sends_settings_initial_window_size_with_invalid_value", GENERAL_CODE),
    ("sends_window_update_frame_with_invalid_length", GENERAL_CODE),
    // A 501: there is no CONNECT.
    ("sends_connect_without_authority", RESPONSE),
    // A 400, as the RFC allows for malformed requests (section 8.1.1).
    ("sends_headers_frame_with_mismatched_host_authority", RESPONSE),
    ("sends_headers_frame_with_leading_space_in_field_value", RESPONSE),
    ("sends_headers_frame_with_trailing_tab_in_field_value", RESPONSE),
    // h2 removes the pseudo-header, and shows nobody that it was there.
    ("sends_headers_frame_with_pseudo_header_in_trailer", RESPONSE),
    // The frame has no END_HEADERS, and h2 waits for the rest. A whole one is an error.
    ("client_sends_push_promise_frame", "Timed out while waiting for connection error"),
];

/// The cases that pass if their second frame arrives before the response is complete, after which
/// h2 uses the general code.
const RACING: &[&str] =
    &["half_closed_remote_sends_data_frame", "sends_data_frame_on_invalid_stream_state"];

httpwg_macros::tests! {{ crate::run(test); }}

/// Runs a case on a connection of its own.
fn run<F>(case: impl FnOnce(Conn<Socket>) -> F)
where
    F: Future<Output: Succeeds>,
{
    let base = env::var("BASE").expect("BASE is the URL of the server");
    let authority = base.strip_prefix("http://").expect("BASE begins with http://");
    let (host, port) = authority.split_once(':').expect("BASE has a port");
    let config = Config {
        host: host.to_owned(),
        port: port.parse().expect("the port is a number"),
        path: "/anything".to_owned(),
        timeout: PATIENCE,
        ..Config::default()
    };
    initialize_allocator_with_num_bufs(BUFFERS).unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let stream = TcpStream::connect(authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        case(Conn::new(Rc::new(config), Socket(stream))).await.check();
    });
}

/// The result of a case.
trait Succeeds {
    fn check(self);
}

impl<E: Debug> Succeeds for Result<(), E> {
    /// Panics unless the case has passed, or has failed as expected.
    fn check(self) {
        let thread = thread::current();
        let case = thread.name().and_then(|name| name.rsplit("::").next()).unwrap_or_default();
        let expected = match RACING.contains(&case) {
            true if self.is_ok() => None,
            true => Some(&GENERAL_CODE),
            false => DIFFERENT.iter().find(|(name, _)| *name == case).map(|(_, reason)| reason),
        };
        match (self, expected) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => panic!("it passes, and should no longer be in the list"),
            (Err(error), None) => panic!("{error:?}"),
            (Err(error), Some(reason)) => {
                let error = format!("{error:?}");
                assert!(error.contains(*reason), "it fails in another way: {error}");
            }
        }
    }
}

/// A socket of tokio as httpwg wants it.
struct Socket(TcpStream);

impl IntoHalves for Socket {
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        self.0.into_split()
    }
}
