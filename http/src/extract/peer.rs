//! The address of the client as an argument.

use std::convert::Infallible;
use std::net::SocketAddr;

use brigade_runtime::net::PeerAddr;
use http::StatusCode;

use crate::extract::from_request::FromRequestParts;
use crate::message::handler_error::HandlerError;
use crate::message::request::Request;

/// The address of the client, or of the last proxy in front of this server, over TCP.
///
/// A client over a Unix socket has none: the response is a 500 then, and the reason is logged. If
/// the server [listens at a Unix socket](crate::Server::bind_unix), use a [`PeerAddr`], which is an
/// argument too, or an `Option<Peer>`.
///
/// # Examples
/// ```
/// use brigade_http::{Peer, Router, get};
///
/// async fn ip(Peer(address): Peer) -> String {
///     address.ip().to_string()
/// }
///
/// let router = Router::new().route("/ip", get(ip));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub SocketAddr);

impl FromRequestParts for Peer {
    type Rejection = HandlerError;

    async fn from_request_parts(request: &mut Request) -> Result<Self, HandlerError> {
        request.peer_addr().tcp().map(Self).ok_or_else(|| {
            let missing = "a client over a Unix socket has no `Peer`: use a `PeerAddr`";
            HandlerError::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_context(missing)
        })
    }

    fn is_missing(request: &Request) -> bool {
        request.peer_addr().is_unix()
    }
}

/// The address of the client, or of the last proxy in front of this server, whether it is connected
/// over TCP or over a Unix socket.
impl FromRequestParts for PeerAddr {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(request.peer_addr())
    }
}
