//! The example `chat`, with tungstenite as the client.
#![forbid(unsafe_code)]

mod common;

use std::net::TcpStream;

use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message, WebSocket, client};
use common::PATIENCE;
use common::client::Client;
use common::server::{Server, example};

fn start() -> Server {
    let mut command = example("chat");
    command.args(["--listen", "127.0.0.1:0", "--loops", "2"]).env("NO_COLOR", "1");
    Server::start(command)
}

/// Joins a room, and waits until that is announced.
fn join(server: &Server, room: &str, name: &str) -> WebSocket<TcpStream> {
    let address = &server.address;
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut socket = client(format!("ws://{address}/rooms/{room}?name={name}"), stream).unwrap().0;
    assert_eq!(next(&mut socket), format!("{name} has joined"));
    socket
}

/// Returns the next text.
fn next(socket: &mut WebSocket<TcpStream>) -> String {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_member_says_reaches_its_room_on_all_loops_and_no_other() {
    let server = start();
    let mut outside = join(&server, "dogs", "rex");
    let names: Vec<_> = (0..10).map(|n| format!("cat{n}")).collect();
    let mut members = Vec::new();
    for name in &names {
        let socket = join(&server, "cats", name);
        for member in &mut members {
            assert_eq!(next(member), format!("{name} has joined"));
        }
        members.push(socket);
    }
    for (speaker, name) in names.iter().enumerate() {
        for text in ["grüße", "miau"] {
            members[speaker].send(Message::text(text)).unwrap();
        }
        for member in &mut members {
            assert_eq!(next(member), format!("{name}: grüße"));
            assert_eq!(next(member), format!("{name}: miau"));
        }
    }
    outside.send(Message::text("wuff")).unwrap();
    assert_eq!(next(&mut outside), "rex: wuff");
    let mut leaving = members.pop().unwrap();
    leaving.close(None).unwrap();
    while leaving.read().is_ok() {}
    for member in &mut members {
        assert_eq!(next(member), "cat9 has left");
    }
}

#[test]
fn members_are_sent_1001_when_the_server_shuts_down() {
    let server = start();
    let mut member = join(&server, "cats", "tom");
    server.signal("TERM");
    match member.read().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
    assert!(matches!(member.read(), Err(Error::ConnectionClosed)));
    assert!(server.ended().status.success());
}

#[test]
fn pages_of_other_sites_are_refused_and_the_own_page_is_served() {
    let server = start();
    let mut client = Client::connect(&server.address);
    let page = client.request("GET /");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("new WebSocket("), "{}", page.text());
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://evil.example\r\n";
    client.send("GET /rooms/cats?name=eve", handshake, b"");
    assert_eq!(client.read().status, 403);
}

#[test]
fn a_member_that_takes_nothing_is_disconnected_and_holds_up_nobody() {
    let server = start();
    let mut stuck = join(&server, "cats", "stuck");
    let mut speaker = join(&server, "cats", "speaker");
    let text = "x".repeat(4000);
    // More than the buffers of the sockets and of the server can hold.
    for _ in 0..4000 {
        speaker.send(Message::text(&*text)).unwrap();
        assert_eq!(next(&mut speaker).len(), "speaker: ".len() + text.len());
    }
    let code = loop {
        match stuck.read().unwrap() {
            Message::Close(Some(frame)) => break frame.code,
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, CloseCode::Again);
}
