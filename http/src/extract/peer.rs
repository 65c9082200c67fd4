//! The address of the client as an argument.

use std::convert::Infallible;
use std::net::SocketAddr;

use crate::extract::from_request::FromRequestParts;
use crate::message::request::Request;

/// The address of the client, or of the last proxy in front of this server.
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
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(Self(request.peer_addr()))
    }
}
