//! The example `websocket_echo`, with tungstenite as the client.
#![forbid(unsafe_code)]

mod common;

use std::net::TcpStream;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Message, WebSocket, client};
use common::PATIENCE;
use common::client::Client;
use common::server::{Server, example};

fn start() -> Server {
    let mut command = example("websocket_echo");
    command.args(["--listen", "127.0.0.1:0"]).env("NO_COLOR", "1");
    Server::start(command)
}

fn connect(server: &Server) -> WebSocket<TcpStream> {
    let address = &server.address;
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    client(format!("ws://{address}/echo"), stream).unwrap().0
}

#[test]
fn the_server_echoes_messages_whole_and_in_order() {
    let server = start();
    let mut socket = connect(&server);
    let sent: Vec<_> = (0..200_usize)
        .map(|n| match n % 3 {
            0 => Message::text(format!("grüße {n}")),
            1 => Message::binary(vec![n as u8; n * 500]),
            _ => Message::text(""),
        })
        .collect();
    for message in &sent {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), *message);
    }
    for message in &sent[..20] {
        socket.write(message.clone()).unwrap();
    }
    socket.flush().unwrap();
    for message in &sent[..20] {
        assert_eq!(socket.read().unwrap(), *message);
    }
}

#[test]
fn the_server_returns_a_pong_for_a_ping_and_a_close_for_a_close() {
    let server = start();
    let mut socket = connect(&server);
    socket.send(Message::Ping("there?".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("there?".into()));
    let frame = CloseFrame { code: CloseCode::Normal, reason: "enough".into() };
    socket.close(Some(frame.clone())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(Some(frame)));
    assert!(socket.read().is_err(), "the server closes first (RFC 6455 section 7.1.1)");
    let log = server.stop();
    assert!(log.contains("closed") && log.contains("messages=0"), "{log}");
}

#[test]
fn a_message_that_is_too_long_closes_only_its_own_connection() {
    let server = start();
    let (mut greedy, mut other) = (connect(&server), connect(&server));
    greedy.send(Message::binary(vec![0; 1024 * 1024 + 1])).unwrap();
    let frame = CloseFrame { code: CloseCode::Size, reason: "".into() };
    assert_eq!(greedy.read().unwrap(), Message::Close(Some(frame)));
    assert!(greedy.read().is_err());
    other.send(Message::text("still there")).unwrap();
    assert_eq!(other.read().unwrap(), Message::text("still there"));
}

#[test]
fn a_request_that_is_no_websocket_handshake_is_refused_with_426_or_400() {
    let server = start();
    let mut client = Client::connect(&server.address);
    let response = client.request("GET /echo");
    assert_eq!((response.status, response.header("upgrade")), (426, Some("websocket")));
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (headers, status, reason) in [
        (&*format!("Sec-WebSocket-Version: 12\r\n{key}"), 426, "version"),
        ("Sec-WebSocket-Version: 13\r\n", 400, "Key"),
    ] {
        let headers = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{headers}");
        client.send("GET /echo", &headers, b"");
        let response = client.read();
        let version = response.header("sec-websocket-version");
        assert_eq!((response.status, version), (status, Some("13")));
        assert!(response.text().contains(reason), "{}", response.text());
    }
}
