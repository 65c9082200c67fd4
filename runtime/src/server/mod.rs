//! A server of several loops, for any protocol: who accepts, and which loop serves.

mod acceptor;
mod connection_queue;
mod exhaustion;
mod loop_acceptor;
mod placement;
mod reserve;

pub use crate::task::notebook::Notebook;
pub use acceptor::Acceptor;
pub use connection_queue::{
    AcceptedConnection, ConnectionGuard, ConnectionReceiver, Incoming, Traffic,
};
pub use loop_acceptor::LoopAcceptor;
