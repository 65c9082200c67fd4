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

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use brigade::LoopHandle;
use brigade::http::websocket::{ByteString, Message, WebSocketSender, close_code};
use brigade::http::{
    HandlerError, Html, Path, Query, Response, Router, Server, WebSocketUpgrade, get,
};
use lexopt::ValueExt;
use serde::Deserialize;

/// The size limit of a message. A client that sends a larger one is disconnected.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What may wait for a member to take it. A member that is further behind is disconnected.
const BEHIND_BYTES_MAX: usize = 64 * 1024;

/// The loops, each of which has entered itself.
static LOOPS: Mutex<Vec<LoopHandle>> = Mutex::new(Vec::new());

thread_local! {
    /// The members that this loop serves, by room and number.
    static ROOMS: RefCell<HashMap<String, HashMap<u64, WebSocketSender>>> = RefCell::default();
    static LAST_NUMBER: Cell<u64> = const { Cell::new(0) };
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
        LOOPS.lock().unwrap_or_else(PoisonError::into_inner).push(LoopHandle::current());
        let page = async || Html(include_str!("chat.html"));
        Router::new().route("/", get(page)).route("/rooms/{room}", get(join))
    })?;
    Ok(())
}

#[derive(Deserialize)]
struct Who {
    name: String,
}

/// Lets a member into a room: announces it, and passes on what it says.
async fn join(
    Path(room): Path<String>,
    Query(Who { name }): Query<Who>,
    ws: WebSocketUpgrade,
) -> Result<Response, HandlerError> {
    let ws = ws.same_origin()?.max_message_size(MESSAGE_BYTES_MAX);
    Ok(ws.max_write_buffer_size(BEHIND_BYTES_MAX).on_upgrade(async move |socket| {
        let (sender, mut receiver) = socket.split();
        let member = Member::enter(&room, sender);
        announce(&room, format!("{name} has joined"));
        while let Some(Ok(message)) = receiver.recv().await {
            if let Some(text) = message.as_text() {
                announce(&room, format!("{name}: {text}"));
            }
        }
        drop(member);
        announce(&room, format!("{name} has left"));
    }))
}

/// Sends `text` to all members of a room, on all loops.
fn announce(room: &str, text: String) {
    let text = ByteString::from(text);
    let mut loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
    loops.retain(|handle| {
        let (room, text) = (room.to_owned(), text.clone());
        // An error means that the loop has ended, and with it its members.
        handle.call_soon(move || deliver(&room, &Message::Text(text))).is_ok()
    });
}

/// Sends `message` to the members of a room that this loop serves.
fn deliver(room: &str, message: &Message) {
    ROOMS.with_borrow(|rooms| {
        for member in rooms.get(room).into_iter().flat_map(HashMap::values) {
            if member.try_send(message.clone()).is_err() {
                // It is closed already if this fails. Either way its handler ends.
                let _ = member.try_send(Message::close(close_code::AGAIN, "too far behind"));
            }
        }
    });
}

/// A member of a room on this loop, until dropped.
struct Member {
    room: String,
    number: u64,
}

impl Member {
    fn enter(room: &str, sender: WebSocketSender) -> Self {
        let number = LAST_NUMBER.get() + 1;
        LAST_NUMBER.set(number);
        ROOMS.with_borrow_mut(|rooms| {
            rooms.entry(room.to_owned()).or_default().insert(number, sender);
        });
        Self { room: room.to_owned(), number }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        ROOMS.with_borrow_mut(|rooms| {
            if let Some(members) = rooms.get_mut(&self.room) {
                members.remove(&self.number);
                if members.is_empty() {
                    rooms.remove(&self.room);
                }
            }
        });
    }
}
