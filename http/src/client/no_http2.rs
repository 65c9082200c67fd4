//! What stands in for `http2` without its features: all connections are of HTTP/1.1.

use std::rc::Rc;
use std::time::Instant;

use crate::client::connect::{Connected, open};
use crate::client::exchange::Outline;
use crate::client::pool::LoopClient;
use crate::message::client_error::ClientErrorKind;
use crate::protocol::body_encoder::BodyLength;

/// Stands in for the servers that may speak HTTP/2: there is no such server.
#[derive(Default)]
pub(super) struct Origins {}

impl Origins {
    pub(super) const fn idle_count(&self) -> usize {
        0
    }

    pub(super) const fn count_max(&self) -> usize {
        0
    }

    pub(super) const fn close_oldest(&self, _since: Option<Instant>) -> bool {
        false
    }

    pub(super) const fn close_idle(&self) {}
}

/// Opens a connection.
pub(super) async fn connect(
    client: &Rc<LoopClient>,
    outline: &Outline,
    _length: BodyLength,
) -> Result<Connected, ClientErrorKind> {
    open(client, &outline.target, false).await.map(|opened| Connected::Http1(opened.stream))
}
