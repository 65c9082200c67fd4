//! What stands in for `http2` without its features: all connections are of HTTP/1.1.

use std::rc::Rc;

use crate::client::connect::{Connected, open};
use crate::client::exchange::Outline;
use crate::client::pool::LoopClient;
use crate::message::client_error::ClientErrorKind;
use crate::protocol::body_encoder::BodyLength;

/// There are none.
#[derive(Default)]
pub(super) struct Origins {}

impl Origins {
    pub(super) const fn idle_count(&self) -> usize {
        0
    }

    pub(super) const fn close_idle(&self) {}
}

/// Opens a connection.
pub(super) async fn connect(
    client: &Rc<LoopClient>,
    outline: &Outline,
    _length: BodyLength,
) -> Result<Connected, ClientErrorKind> {
    open(client, outline, false).await.map(|opened| Connected::Http1(opened.stream))
}
