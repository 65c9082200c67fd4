//! The example `httpbin_delay`, as a process with clients on sockets.
//!
//! The unit tests of its modules that do not depend on HTTP run here, too.
#![forbid(unsafe_code)]

#[path = "../examples/httpbin_delay/byte_range.rs"]
mod byte_range;
#[path = "httpbin_delay/chaos.rs"]
mod chaos;
mod common;
#[path = "httpbin_delay/delays.rs"]
mod delays;
#[path = "httpbin_delay/echoes.rs"]
mod echoes;
#[path = "../examples/httpbin_delay/go_duration.rs"]
mod go_duration;
#[path = "httpbin_delay/pieces.rs"]
mod pieces;
#[path = "httpbin_delay/process.rs"]
mod process;
#[path = "../examples/httpbin_delay/query.rs"]
mod query;
#[path = "httpbin_delay/shutdown.rs"]
mod shutdown;
#[path = "httpbin_delay/statuses.rs"]
mod statuses;

use crate::common::client::Client;
use crate::common::server::{Server, example};

/// Starts a server with one loop, and connects to it.
fn start(options: &[&str]) -> (Server, Client) {
    let mut command = example("httpbin_delay");
    command.args(["--listen", "127.0.0.1:0", "--loops", "1"]).args(options);
    let server = Server::start(command);
    let client = Client::connect(&server.address);
    (server, client)
}
