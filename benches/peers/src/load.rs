//! The load that wrk cannot make, on one thread over epoll.

mod closed_loop;
mod delays;
mod exchanges;
mod flood;
mod new_connections;
mod response;
mod transfer;
mod websockets;

pub use closed_loop::{ClosedLoop, Keep};
pub use delays::wait_in_delays;
pub use flood::flood;
pub use new_connections::{Block, new_connections};
pub use transfer::{Framing, download, upload};
pub use websockets::WebSockets;
