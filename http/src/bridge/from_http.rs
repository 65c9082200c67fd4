//! Requests of the `http` crate as ours.

use std::net::{Ipv4Addr, SocketAddr};

use brigade_runtime::net::PeerAddr;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};

use crate::bridge::http_response::into_body;
use crate::extract::peer::Peer;
use crate::message::body_error::BoxError;
use crate::message::request::Request;
use crate::protocol::error::ProtocolError;
use crate::protocol::limits::Limits;

/// Converts a request. Its body is framed by its length; so `Content-Length` and
/// `Transfer-Encoding` are made anew. Its extensions become one extension.
///
/// # Errors
/// As [`RequestBuilder::build`](crate::RequestBuilder::build) returns them.
pub(super) fn from_http<B>(
    request: http::Request<B>,
    limits: &Limits,
) -> Result<Request, ProtocolError>
where
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(TRANSFER_ENCODING);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut builder = Request::builder(parts.method, target).body(into_body(body));
    // A request of HTTP/2 has its host in the target.
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(HOST)
    {
        builder = builder.header(HOST, authority.as_str());
    }
    for (name, value) in &parts.headers {
        builder = builder.valid_header(name.clone(), value.clone());
    }
    // An unknown client must not be taken for one on this machine.
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into();
    let of_tcp = parts.extensions.get().map(|&Peer(address)| PeerAddr::from(address));
    builder = builder.peer_addr(parts.extensions.get().copied().or(of_tcp).unwrap_or(unknown));
    let mut request = builder.build_within(limits)?;
    request.extensions_mut().insert(parts.extensions);
    Ok(request)
}
