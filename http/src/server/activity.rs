//! What the connections of a loop are doing.
//!
//! Nothing is recorded for it while the server runs. To take a snapshot, the task of every
//! connection is polled, and each describes itself.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use brigade_runtime::net::PeerAddr;
use brigade_runtime::server::first_lines;
use brigade_runtime::task::TaskId;

/// One connection at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The connection's task.
    pub task: TaskId,
    /// The address of its peer.
    pub peer: PeerAddr,
    /// What the connection is doing.
    pub state: ConnectionState,
    /// The route of the request in flight, if there is one and it matched a route.
    pub route: Option<String>,
    /// How long it has been in this state.
    pub lasted: Duration,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Waiting for the next request.
    Idle,
    /// The TLS handshake is not complete.
    Handshaking,
    /// Part of a request's head has been received.
    ReadingHead,
    /// The handler waits for more of the request's body.
    ReadingBody,
    /// The handler is running.
    Handling,
    /// The body of the response is being sent.
    Sending,
    /// Waiting for the peer to take what was written.
    Writing,
    /// The last response has been sent.
    Closing,
    /// Upgraded to another protocol.
    Upgraded,
    /// Serving the open streams of HTTP/2.
    Http2 {
        /// How many there are.
        streams: usize,
    },
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http2 { streams } => return write!(f, "serving {streams} streams of HTTP/2"),
            Self::Idle => "idle",
            Self::Handshaking => "in the TLS handshake",
            Self::ReadingHead => "reading a head",
            Self::ReadingBody => "reading a body",
            Self::Handling => "handling",
            Self::Sending => "sending",
            Self::Writing => "writing",
            Self::Closing => "closing",
            Self::Upgraded => "upgraded",
        })
    }
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, peer, state, lasted, .. } = self;
        write!(f, "task {task} for {peer}: {state}")?;
        if let Some(route) = &self.route {
            write!(f, " {route}")?;
        }
        write!(f, " for {lasted:.1?}")
    }
}

/// Describes a snapshot in a few lines: the number of connections in each state, and the first of
/// those that are not idle.
pub(super) fn summary(connections: &[ConnectionInfo]) -> String {
    let mut states: BTreeMap<ConnectionState, usize> = BTreeMap::new();
    let mut streams = 0;
    for connection in connections {
        match connection.state {
            ConnectionState::Http2 { streams: of_connection } => streams += of_connection,
            state => *states.entry(state).or_default() += 1,
        }
    }
    let mut text = format!("\n  {} connections", connections.len());
    for (state, count) in states {
        // Writing to a string does not fail.
        let _ = write!(text, ", {count} {state}");
    }
    if streams > 0 {
        let _ = write!(text, ", {streams} streams of HTTP/2");
    }
    let is_busy = |connection: &&ConnectionInfo| connection.state != ConnectionState::Idle;
    text + &first_lines(connections.iter().filter(is_busy))
}
