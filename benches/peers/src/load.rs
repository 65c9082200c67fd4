//! The load that wrk cannot make, on one thread over epoll.

mod answer;
mod closed_loop;
mod delays;
mod exchanges;
mod newcomers;
mod transfer;

pub use closed_loop::{ClosedLoop, Keep};
pub use delays::wait_in_delays;
pub use newcomers::{Block, newcomers};
pub use transfer::{Framing, download, upload};
