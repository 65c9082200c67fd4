//! The load that wrk cannot make, on one thread over epoll.

mod closed_loop;
mod delays;
mod exchanges;
mod flood;
mod http2_idle;
mod new_connections;
mod response;
mod sources;
mod tls;
mod transfer;
mod websockets;
mod wire;

pub use closed_loop::{ClosedLoop, Keep};
pub use delays::wait_in_delays;
pub use flood::flood;
pub use http2_idle::Http2Idle;
pub use new_connections::{Block, new_connections};
pub use tls::{Resume, TlsClient};
pub use transfer::{Framing, download, download_tls, upload};
pub use websockets::WebSockets;
pub use wire::Wire;
