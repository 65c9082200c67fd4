//! The access log.

use std::time::Instant;

use brigade_runtime::net::PeerAddr;
use http::StatusCode;
use tracing::Level;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::protocol::head::RequestHead;
use crate::routing::endpoint::Next;

/// Logs each request when its handler ends: an event of level `INFO` and target `brigade::access`,
/// with the fields `method`, `path` (without the query, which may contain secrets), `status`,
/// `milliseconds` and `peer`.
///
/// The time is measured from the head of the request to the head of the response; a streamed body
/// may end much later. If the handler panics or is cancelled, the event has no status.
///
/// Costs next to nothing if no subscriber is interested in these events.
pub async fn log(request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: "brigade::access", Level::INFO) {
        return next.run(request).await;
    }
    let (head, peer) = (request.head().clone(), request.peer_addr());
    let mut line = Line { head, peer, began: Instant::now(), status: None };
    let response = next.run(request).await;
    line.status = Some(response.status);
    response
}

/// A line of the log. It is written when dropped, so that cancelled handlers are logged too.
struct Line {
    head: RequestHead,
    peer: PeerAddr,
    began: Instant,
    status: Option<StatusCode>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let (method, path, peer) = (self.head.method(), self.head.path(), self.peer);
        let milliseconds = self.began.elapsed().as_secs_f64() * 1000.0;
        match self.status.map(|status| status.as_u16()) {
            Some(status) => {
                tracing::info!(
                    target: "brigade::access", %method, path, status, milliseconds, %peer
                );
            }
            None => tracing::info!(
                target: "brigade::access",
                %method, path, milliseconds, %peer, "ended without a response"
            ),
        }
    }
}
