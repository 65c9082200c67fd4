//! A chat whose rooms have members on all loops.
//!
//! ```text
//! cargo run --release --features websocket --example chat -- --listen 127.0.0.1:8080
//! ```
//!
//! Open <http://127.0.0.1:8080/> in two windows; `/#cats` is another room.
//!
//! Each loop keeps the members whose connections it serves, without a lock. What a member says is
//! sent to every loop, and each loop passes it on to its members of the room.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;

use brigade::Loops;
use brigade::http::websocket::{ByteString, Message, WebSocketSender, WsError, close_code};
use brigade::http::{
    HandlerError, Html, Path, Query, Response, Router, Server, WebSocketUpgrade, get,
};
use lexopt::ValueExt;
use serde::Deserialize;

/// The size limit of a message. A client that sends a larger one is disconnected.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What may wait for a member to take it. A member that is further behind is disconnected.
const BEHIND_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// The members that this loop serves, by room.
    static ROOMS: RefCell<HashMap<String, Vec<WebSocketSender>>> = RefCell::default();
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (mut listen, mut loops) = ("127.0.0.1:8080".to_owned(), None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("listen") => listen = arguments.value()?.string()?,
            lexopt::Arg::Long("loops") => loops = Some(arguments.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut server = Server::bind(listen)?;
    if let Some(loops) = loops {
        server = server.loops(loops);
    }
    println!("listening on http://{} ({} event loops)", server.local_addr()?, server.loop_count());
    server.run(|| {
        let page = async || Html(include_str!("chat.html"));
        Router::new().route("/", get(page)).route("/rooms/{room}", get(join))
    })?;
    Ok(())
}

#[derive(Deserialize)]
struct Who {
    name: String,
}

/// Lets a member into a room, and passes on what it says.
async fn join(
    Path(room): Path<String>,
    Query(Who { name }): Query<Who>,
    ws: WebSocketUpgrade,
) -> Result<Response, HandlerError> {
    let ws = ws.same_origin()?.max_message_size(MESSAGE_BYTES_MAX);
    Ok(ws.max_write_buffer_size(BEHIND_BYTES_MAX).on_upgrade(async move |socket| {
        let (sender, mut receiver) = socket.split();
        ROOMS.with_borrow_mut(|rooms| rooms.entry(room.clone()).or_default().push(sender));
        announce(&room, format!("{name} has joined"));
        while let Some(Ok(message)) = receiver.recv().await {
            if let Some(text) = message.as_text() {
                announce(&room, format!("{name}: {text}"));
            }
        }
        announce(&room, format!("{name} has left"));
    }))
}

/// Sends `text` to all members of a room, on all loops.
fn announce(room: &str, text: String) {
    let (text, loops) = (ByteString::from(text), Loops::current());
    for index in 0..loops.len() {
        let (room, text) = (room.to_owned(), text.clone());
        // Fails only if that loop has ended, and its members with it.
        let _ = loops.handle(index).call_soon(move || deliver(room, &Message::Text(text)));
    }
}

/// Sends `message` to the members of a room that this loop serves. Those that have left, or are too
/// far behind, are members no longer.
fn deliver(room: String, message: &Message) {
    ROOMS.with_borrow_mut(|rooms| {
        let Entry::Occupied(mut members) = rooms.entry(room) else { return };
        members.get_mut().retain(|member| {
            let sent = member.try_send(message.clone());
            if matches!(sent, Err(WsError::Full)) {
                // There is always room for a close frame.
                let _ = member.try_send(Message::close(close_code::AGAIN, "too far behind"));
            }
            sent.is_ok()
        });
        if members.get().is_empty() {
            members.remove();
        }
    });
}
