//! What every server of the harness shares: its options, its listener and its ten routes.
//!
//! Frameworks with a router use that router; [`Route`] is for those without.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use serde::Serialize;

/// The body of the response to `GET /`.
pub const HELLO: &str = "Hello, World!";

/// The content type of every response.
pub const TEXT: &str = "text/plain";

/// How long an idle connection is kept, in seconds, if the server has such a limit: longer than any
/// scenario.
pub const KEEP_ALIVE_SECONDS: u64 = 75;

/// The number of items of [`page`].
const ITEMS: u32 = 50;

/// One piece of a streamed body; the last one may be shorter.
pub const PIECE: &[u8] = &ZEROS.0;

static ZEROS: Zeros = Zeros([0; 64 * 1024]);

/// At the start of a page in each server. How fast the system copies depends on where within its
/// page something is, which the linker would decide otherwise.
#[repr(align(4096))]
struct Zeros([u8; 64 * 1024]);

/// The size of the buffer of each connection to an echo server.
pub const ECHO_BUFFER: usize = 16 * 1024;

/// How many connections to the database each loop has.
pub const CONNECTIONS: usize = 4;

/// How long a request waits for a connection to the database, and for its query.
pub const WAIT_MAX: Duration = Duration::from_secs(3);

/// Finds the name of a user by the number.
pub const FIND: &str = "SELECT name FROM users WHERE id = $1";

/// The largest number of connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// The command line of a server: `--listen ADDR --loops N`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The number of event loops or worker threads.
    pub loops: usize,
}

impl Options {
    /// Parses the command line.
    ///
    /// # Panics
    /// If an option is unknown, or its value is missing or malformed.
    #[must_use]
    pub fn from_args() -> Self {
        let mut options = Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), loops: 1 };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().unwrap_or_else(|| panic!("{name} needs a value"));
            match name.as_str() {
                "--listen" => options.listen = value.parse().expect("--listen takes IP:PORT"),
                "--loops" => options.loops = value.parse().expect("--loops takes a number"),
                _ => panic!("unknown option {name}: use --listen IP:PORT --loops N"),
            }
        }
        options
    }
}

/// Returns `true` in the scenario of large bodies, which the harness sets in the environment. hyper
/// copies large bodies if it is configured to gather small responses in one write.
#[must_use]
pub fn bodies_are_large() -> bool {
    std::env::var("PEER_SCENARIO").is_ok_and(|scenario| scenario == "body")
}

/// Returns the directory of the scenario `static`, which the harness sets in the environment.
#[must_use]
pub fn files() -> String {
    std::env::var("PEER_FILES").unwrap_or_else(|_| "static".to_owned())
}

/// Returns how tokio-postgres connects to the database, which the harness sets in the environment.
#[must_use]
pub fn database() -> String {
    std::env::var("PEER_DATABASE").unwrap_or_else(|_| "host=127.0.0.1 port=5432".to_owned())
}

/// Opens a non-blocking listener with `SO_REUSEPORT`, so that each loop may have its own.
///
/// # Errors
/// If the address is taken or cannot be listened on.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Returns the pieces of a streamed body of `total` bytes.
pub fn pieces(total: u64) -> impl Iterator<Item = &'static [u8]> + Send + 'static {
    let full = usize::try_from(total / PIECE.len() as u64).expect("a body that fits this machine");
    let rest = (total % PIECE.len() as u64) as usize;
    std::iter::repeat_n(PIECE, full).chain((rest > 0).then_some(&PIECE[..rest]))
}

/// What `GET /json` responds with.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The number of items.
    pub count: usize,
    /// The items.
    pub items: Vec<Item>,
}

/// One item of a [`Page`].
#[derive(Debug, Serialize)]
pub struct Item {
    /// Its number, from 1.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// Its category.
    pub category: &'static str,
    /// Its price.
    pub price: f64,
    /// How many there are.
    pub quantity: u32,
    /// The price of all of them.
    pub total: f64,
    /// Whether it can be bought.
    pub active: bool,
    /// Its tags.
    pub tags: [&'static str; 3],
    /// How it is rated.
    pub rating: Rating,
}

/// How an [`Item`] is rated.
#[derive(Debug, Serialize)]
pub struct Rating {
    /// The mean of the ratings.
    pub score: f64,
    /// The number of ratings.
    pub count: u32,
}

/// Returns 50 items, made anew for each response: about 9 KB as JSON.
#[must_use]
pub fn page() -> Page {
    let items: Vec<_> = (1..=ITEMS).map(item).collect();
    Page { count: items.len(), items }
}

fn item(id: u32) -> Item {
    let (price, quantity) = (f64::from(id) * 1.25 + 0.49, id % 7 + 1);
    Item {
        id,
        name: "A lamp with a \"warm\" light",
        category: "home",
        price,
        quantity,
        total: price * f64::from(quantity),
        active: !id.is_multiple_of(3),
        tags: ["new", "sale", "lighting"],
        rating: Rating { score: f64::from(id % 50) / 10.0, count: id * 17 },
    }
}

/// The ten routes, matched by hand.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `GET /`: [`HELLO`].
    Hello,
    /// `GET /delay/{seconds}`: [`HELLO`] after that time.
    Delay(Duration),
    /// `GET /block/{milliseconds}`: [`HELLO`] after blocking the thread for that time.
    Block(Duration),
    /// `GET /users/{user}`: the user.
    User(&'a str),
    /// `GET /users/{user}/posts`: the user.
    Posts(&'a str),
    /// `GET /users/{user}/posts/{post}`: `user/post`.
    Post(&'a str, &'a str),
    /// `GET /orgs/{org}/repos/{repo}/issues/{issue}`: `org/repo/issue`.
    Issue(&'a str, &'a str, &'a str),
    /// `POST /upload`: the length of the body, in decimal.
    Upload,
    /// `GET /download/{bytes}`: that many bytes, with Content-Length.
    Download(u64),
    /// `GET /stream/{bytes}`: that many bytes, chunked.
    Stream(u64),
    /// Anything else: 404.
    Unknown,
}

impl<'a> Route<'a> {
    /// Finds the route of a path without query.
    #[must_use]
    pub fn of(path: &'a str) -> Self {
        let mut segments = path.split('/').skip(1);
        let mut segment = || segments.next();
        match [segment(), segment(), segment(), segment(), segment(), segment(), segment()] {
            [Some(""), None, ..] => Self::Hello,
            [Some("delay"), Some(time), None, ..] => match time.parse().map(Duration::from_secs) {
                Ok(time) => Self::Delay(time),
                Err(_) => Self::Unknown,
            },
            [Some("block"), Some(time), None, ..] => {
                match time.parse().map(Duration::from_millis) {
                    Ok(time) => Self::Block(time),
                    Err(_) => Self::Unknown,
                }
            }
            [Some("users"), Some(user), None, ..] => Self::User(user),
            [Some("users"), Some(user), Some("posts"), None, ..] => Self::Posts(user),
            [Some("users"), Some(user), Some("posts"), Some(post), None, ..] => {
                Self::Post(user, post)
            }
            [
                Some("orgs"),
                Some(org),
                Some("repos"),
                Some(repo),
                Some("issues"),
                Some(issue),
                None,
            ] => Self::Issue(org, repo, issue),
            [Some("upload"), None, ..] => Self::Upload,
            [Some("download"), Some(bytes), None, ..] => {
                bytes.parse().map_or(Self::Unknown, Self::Download)
            }
            [Some("stream"), Some(bytes), None, ..] => {
                bytes.parse().map_or(Self::Unknown, Self::Stream)
            }
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found() {
        assert_eq!(Route::of("/"), Route::Hello);
        assert_eq!(Route::of("/delay/5"), Route::Delay(Duration::from_secs(5)));
        assert_eq!(Route::of("/block/300"), Route::Block(Duration::from_millis(300)));
        assert_eq!(Route::of("/users/ada"), Route::User("ada"));
        assert_eq!(Route::of("/users/ada/posts"), Route::Posts("ada"));
        assert_eq!(Route::of("/users/ada/posts/7"), Route::Post("ada", "7"));
        assert_eq!(Route::of("/orgs/o/repos/r/issues/1"), Route::Issue("o", "r", "1"));
        assert_eq!(Route::of("/upload"), Route::Upload);
        assert_eq!(Route::of("/download/1"), Route::Download(1));
        assert_eq!(Route::of("/stream/1"), Route::Stream(1));
    }

    #[test]
    fn a_path_that_is_longer_than_a_route_is_unknown() {
        assert_eq!(Route::of("/upload/1"), Route::Unknown);
        assert_eq!(Route::of("/orgs/o/repos/r/issues/1/x"), Route::Unknown);
    }

    #[test]
    fn the_pieces_add_up_to_the_total() {
        let total = 3 * PIECE.len() as u64 + 5;
        assert_eq!(pieces(total).map(|piece| piece.len() as u64).sum::<u64>(), total);
    }
}
