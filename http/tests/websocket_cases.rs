//! What the server does with the bytes of a client: the cases of the Autobahn test suite, over a
//! socket. The numbers are those of its chapters.
#![forbid(unsafe_code)]
#![cfg(feature = "websocket")]

mod sockets;
mod websocket_peer;

use brigade_http::{Response, Router, WebSocket, WebSocketUpgrade, get};
use sockets::TestServer;
use websocket_peer::{BINARY, CLOSE, Frame, PING, PONG, Peer, TEXT, close, frame, header};

const MESSAGE_BYTES_MAX: usize = 100_000;
const FRAME_BYTES_MAX: usize = 80_000;

fn app() -> Router {
    Router::new().route("/", get(accept))
}

async fn accept(ws: WebSocketUpgrade) -> Response {
    ws.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(FRAME_BYTES_MAX).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if message.is_data() && socket.send(message).await.is_err() {
            break;
        }
    }
}

/// Sends the bytes of each case, in one piece and, if there are few, byte by byte. Asserts that the
/// server sends these frames, and then closes the connection.
#[track_caller]
fn assert_exchanges(cases: &[(&str, Vec<u8>, Vec<Frame>)]) {
    let server = TestServer::start(app);
    for (name, input, output) in cases {
        for size in [input.len(), 1] {
            if input.len() / size > 1000 {
                continue;
            }
            let mut peer = Peer::connect(&server, "/");
            for part in input.chunks(size) {
                peer.client.send(part);
            }
            for expected in output {
                let received = peer.receive();
                assert!(received == *expected, "{name}: {}", describe(&received));
            }
            assert_eq!(peer.client.rest(), "", "{name}");
        }
    }
}

fn describe((first, payload): &Frame) -> String {
    let start = &payload[..payload.len().min(50)];
    format!("{first:#x} with {} bytes: {}", payload.len(), start.escape_ascii())
}

/// Returns `frames` and the end of a conversation, which the server has to respond to.
fn then_close(frames: impl AsRef<[Vec<u8>]>) -> Vec<u8> {
    [frames.as_ref().concat(), frame(CLOSE, close(1000, ""))].concat()
}

fn closed() -> Frame {
    (CLOSE, close(1000, ""))
}

fn violation(reason: &str) -> Frame {
    (CLOSE, close(1002, reason))
}

fn not_utf8() -> Frame {
    (CLOSE, close(1007, ""))
}

fn too_large() -> Frame {
    (CLOSE, close(1009, ""))
}

#[test]
fn messages_of_all_lengths_are_echoed() {
    for first in [TEXT, BINARY] {
        let cases = [0, 1, 125, 126, 127, 128, 65_535, 65_536, FRAME_BYTES_MAX].map(|length| {
            let payload = vec![b'*'; length];
            let input = then_close([frame(first, &payload)]);
            ("1.1 and 1.2", input, vec![(first, payload), closed()])
        });
        assert_exchanges(&cases);
    }
}

#[test]
fn pings_are_responded_to_and_pongs_are_ignored() {
    let ping = |payload: &[u8]| {
        ("2.1 to 2.4", then_close([frame(PING, payload)]), vec![(PONG, payload.to_vec()), closed()])
    };
    let ten: Vec<_> = (0..10).map(|n| vec![n]).collect();
    let mut pongs: Vec<_> = ten.iter().map(|payload| (PONG, payload.clone())).collect();
    pongs.push(closed());
    assert_exchanges(&[
        ping(b""),
        ping(b"Hello"),
        ping(&[0, 255, 254, 253]),
        ping(&[b'*'; 125]),
        (
            "2.5",
            frame(PING, [b'*'; 126]),
            vec![violation("a control frame is longer than 125 bytes")],
        ),
        ("2.7", then_close([frame(PONG, b""), frame(PONG, b"unsolicited")]), vec![closed()]),
        (
            "2.9",
            then_close([frame(PONG, b"unsolicited"), frame(PING, b"a")]),
            vec![(PONG, b"a".to_vec()), closed()],
        ),
        ("2.10", then_close(ten.iter().map(|n| frame(PING, n)).collect::<Vec<_>>()), pongs),
    ]);
}

#[test]
fn reserved_bits_and_opcodes_end_the_connection_after_the_messages_before() {
    let mut cases = Vec::new();
    let bit = "a reserved bit is set";
    let opcode = "the opcode is reserved";
    let bits = [0xC1, 0xA1, 0x91, 0xF1, 0xC2, 0xC9, 0xB8].map(|first| (first, bit));
    let opcodes = [0x83, 0x84, 0x85, 0x86, 0x87, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F];
    let opcodes = opcodes.map(|first| (first, opcode));
    for (first, reason) in bits.into_iter().chain(opcodes) {
        for payload in [&b""[..], b"reserved"] {
            let input = [frame(TEXT, "first"), frame(first, payload), frame(PING, "")].concat();
            let output = vec![(TEXT, b"first".to_vec()), violation(reason)];
            cases.push(("3 and 4", input, output));
        }
    }
    assert_exchanges(&cases);
}

#[test]
fn fragments_are_joined_and_control_frames_may_come_in_between() {
    let joined = |frames: &[Vec<u8>], output: Vec<Frame>| {
        ("5", then_close(frames), [output, vec![closed()]].concat())
    };
    let text = |text: &str| (TEXT, text.as_bytes().to_vec());
    assert_exchanges(&[
        joined(&[frame(0x01, "frag"), frame(0x80, "ment")], vec![text("fragment")]),
        joined(&[frame(0x02, [1]), frame(0x00, ""), frame(0x80, [2])], vec![(BINARY, vec![1, 2])]),
        joined(&[frame(0x01, ""), frame(0x00, ""), frame(0x80, "")], vec![text("")]),
        joined(
            &[frame(0x01, "frag"), frame(PING, "p"), frame(PONG, ""), frame(0x80, "ment")],
            vec![(PONG, b"p".to_vec()), text("fragment")],
        ),
        ("5.1", frame(0x09, "p"), vec![violation("a control frame is fragmented")]),
        ("5.2", frame(0x0A, "p"), vec![violation("a control frame is fragmented")]),
        ("5.9", frame(0x80, "x"), vec![violation("a continuation frame continues no message")]),
        ("5.10", frame(0x00, "x"), vec![violation("a continuation frame continues no message")]),
        (
            "5.15",
            [frame(0x01, "a"), frame(0x80, "b"), frame(0x00, "c"), frame(TEXT, "d")].concat(),
            vec![text("ab"), violation("a continuation frame continues no message")],
        ),
        (
            "5.18",
            [frame(0x01, "a"), frame(TEXT, "b")].concat(),
            vec![violation("a message begins within another one")],
        ),
        ("a close within a message", then_close([frame(0x01, "a")]), vec![closed()]),
    ]);
}

#[test]
fn texts_are_utf8_across_fragments_and_fail_as_early_as_possible() {
    let text = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \u{10FFFF}";
    let bytes = text.as_bytes();
    let fragments = |size: usize| {
        let mut frames = vec![frame(0x01, "")];
        frames.extend(bytes.chunks(size).map(|part| frame(0x00, part)));
        frames.push(frame(0x80, ""));
        ("6.2", then_close(frames), vec![(TEXT, bytes.to_vec()), closed()])
    };
    let mut cases = vec![fragments(1), fragments(2), fragments(3), fragments(100)];
    for bad in [
        &b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80edited"[..],
        b"\xF0\x90\x80",
        b"\xC0\xAF",
        b"\xF4\x90\x80\x80",
        b"\xFE",
        b"ab\xE2\x82",
    ] {
        cases.push(("6.3", frame(TEXT, bad), vec![not_utf8()]));
        cases.push(("6.3", [frame(0x01, bad), frame(0x80, "")].concat(), vec![not_utf8()]));
    }
    // The rest of the message never comes.
    cases.push(("6.4.1", [frame(0x01, "κ"), frame(0x00, b"\xF4\x90")].concat(), vec![not_utf8()]));
    let begun = [header(TEXT, 1000), frame(TEXT, b"ok \xF4\x90")[6..].to_vec()].concat();
    cases.push(("6.4.3", begun, vec![not_utf8()]));
    assert_exchanges(&cases);
}

#[test]
fn a_close_is_responded_to_with_the_same_code_and_ends_the_conversation() {
    let echoed = |payload: Vec<u8>| ("7", frame(CLOSE, &payload), vec![(CLOSE, payload)]);
    let mut cases = vec![
        echoed(vec![]),
        echoed(close(1000, "Hello World!")),
        echoed(close(1000, &"*".repeat(123))),
        (
            "7.1",
            [frame(CLOSE, close(1000, "")), frame(TEXT, "x"), frame(PING, "")].concat(),
            vec![closed()],
        ),
        ("7.3.2", frame(CLOSE, [3]), vec![violation("a close frame has half a code")]),
        (
            "7.3.6",
            frame(CLOSE, close(1000, &"*".repeat(124))),
            vec![violation("a control frame is longer than 125 bytes")],
        ),
        ("7.5.1", frame(CLOSE, [&close(1000, "")[..], b"\xCE\xED\xA0"].concat()), vec![not_utf8()]),
    ];
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    let valid = valid.into_iter().chain([3000, 3999, 4000, 4999]);
    cases.extend(valid.map(|code| echoed(close(code, ""))));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let output = vec![violation("a close frame has a reserved code")];
        cases.push(("7.9", frame(CLOSE, close(code, "")), output));
    }
    assert_exchanges(&cases);
}

#[test]
fn a_message_or_a_frame_beyond_its_limit_ends_the_connection() {
    let half = vec![b'*'; MESSAGE_BYTES_MAX / 2];
    let whole = [half.clone(), half.clone()].concat();
    assert_exchanges(&[
        ("a frame", header(BINARY, FRAME_BYTES_MAX as u64 + 1), vec![too_large()]),
        ("a frame of 63 bits", header(BINARY, i64::MAX as u64), vec![too_large()]),
        (
            "a frame of 64 bits",
            header(BINARY, u64::MAX),
            vec![violation("a length is not encoded in the shortest way")],
        ),
        (
            "a message of the limit",
            then_close([frame(0x02, &half), frame(0x80, &half)]),
            vec![(BINARY, whole), closed()],
        ),
        (
            "a message",
            [frame(0x02, &half), frame(0x00, &half), header(0x80, 1)].concat(),
            vec![too_large()],
        ),
    ]);
}

#[test]
fn a_frame_without_a_mask_ends_the_connection() {
    assert_exchanges(&[
        ("text", b"\x81\x05hello".to_vec(), vec![violation("a frame is not masked")]),
        ("ping", b"\x89\x00".to_vec(), vec![violation("a frame is not masked")]),
    ]);
}

#[test]
fn frames_that_arrive_with_the_handshake_are_received() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    let early = then_close([frame(TEXT, "early"), frame(TEXT, "bird")]);
    client.send([websocket_peer::handshake("/").into_bytes(), early].concat());
    assert_eq!(client.response().status, 101);
    let mut peer = Peer { client };
    assert_eq!(peer.receive(), (TEXT, b"early".to_vec()));
    assert_eq!(peer.receive(), (TEXT, b"bird".to_vec()));
    assert_eq!(peer.receive(), closed());
    assert_eq!(peer.client.rest(), "");
}

#[test]
fn the_close_frame_reaches_a_peer_that_still_sends() {
    let server = TestServer::start(app);
    for violation in [frame(0x83, ""), frame(CLOSE, close(1000, ""))] {
        let mut peer = Peer::connect(&server, "/");
        peer.client.send(violation);
        for _ in 0..20 {
            peer.send(BINARY, vec![0; 50_000]);
        }
        peer.client.finish_sending();
        assert!(matches!(peer.receive_close(), 1000 | 1002));
        assert_eq!(peer.client.rest(), "");
    }
}
