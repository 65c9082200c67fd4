//! A server of several loops, for any protocol: who accepts, and which loop serves.

mod acceptor;
mod connection_queue;
mod exhaustion;
mod loop_acceptor;
mod placement;
mod reserve;

pub use acceptor::Acceptor;
pub use connection_queue::{Arrival, Arrivals, Incoming, Place, Traffic};
pub use loop_acceptor::LoopAcceptor;
