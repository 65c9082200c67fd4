//! A line in the log for each request.

use std::net::SocketAddr;
use std::time::Instant;

use http::StatusCode;
use tracing::Level;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::protocol::head::RequestHead;
use crate::routing::handler::Next;

/// Logs each request when it is answered: an event of level `INFO` and target
/// `brigade::access`, with the fields `method`, `path` (without the query, which may hold what
/// is nobody's business), `status`, `milliseconds` and `peer`.
///
/// The time is that from the head of the request to the head of the answer, which a streamed
/// body may follow much later. A handler that panicked, or whose client went away, is logged
/// without a status.
///
/// Without a subscriber for this it costs next to nothing.
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

/// Written when dropped, so that a handler that was cancelled is logged too.
struct Line {
    head: RequestHead,
    peer: SocketAddr,
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
                %method, path, milliseconds, %peer, "ended without an answer"
            ),
        }
    }
}
