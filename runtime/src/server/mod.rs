//! A server of several loops, for any protocol.
//!
//! [`TcpServer`] binds, starts the loops, accepts connections and gives each to a loop, supervises
//! the loops, and shuts down gracefully. What to do with a connection is up to an async function,
//! or to a [`Protocol`].
//!
//! # Parts
//!
//! | to | see |
//! | --- | --- |
//! | serve a protocol with an async function | [`TcpServer`], [`until_draining`] |
//! | listen at a Unix socket | [`TcpServer::bind_unix`], [`UnixPath`] |
//! | reach the other loops from a handler | [`Loops`] |
//! | follow a server from its start to its end | [`ServerState`], [`Phase`] |
//! | read its counters; read what it did | [`Stats`], [`LoopStats`]; [`LoopReport`] |
//! | write a protocol that knows its idle connections | [`Protocol`], [`Connections`] |
//! | accept connections by hand | [`Acceptor`], [`ConnectionReceiver`], [`LoopAcceptor`] |

mod accept_state;
mod accepted;
mod acceptor;
mod acceptor_waker;
mod claim;
mod connection_guard;
mod connection_queue;
mod connections;
mod exhaustion;
mod handover;
mod listeners;
#[cfg(test)]
#[cfg(not(brigade_loom))]
mod logged;
mod loop_acceptor;
mod phase;
mod placement;
mod protocol;
mod report;
mod reserve;
mod serve_loop;
mod server_stream;
mod serving;
mod socket_file;
mod stats;
mod supervisor;
mod tcp_server;
#[cfg(feature = "tls")]
mod tls_server;
mod unclaimed;
mod watches;

pub use crate::task::notebook::Notebook;
pub use crate::threads::loops::Loops;
pub use accepted::{AcceptedConnection, UnclaimedConnection};
pub use acceptor::Acceptor;
pub use connection_guard::ConnectionGuard;
pub use connection_queue::{ConnectionCounts, ConnectionReceiver, LoopEvent};
pub use connections::{Connections, draining, until_draining};
pub use loop_acceptor::LoopAcceptor;
pub use phase::{Phase, ServerState};
pub use protocol::{ConnectionInfo, DESCRIBED_MAX, Protocol, first_lines};
pub use report::LoopReport;
pub use server_stream::ServerStream;
pub use socket_file::UnixPath;
pub use stats::{LoopStats, Stats};
pub use supervisor::OnLoopDeath;
pub use tcp_server::{DRAIN_TIMEOUT, STALL_THRESHOLD, TcpServer};
#[cfg(feature = "tls")]
pub use tls_server::TlsServer;
