//! What stands in for HTTP/2 without its feature: no connection is one of HTTP/2.

use std::pin::Pin;
use std::rc::Rc;

use brigade_runtime::net::PeerAddr;
use bytes::Bytes;

use crate::message::byte_stream::ByteStream;
use crate::server::connection::timing::Taken;
use crate::server::loop_context::LoopContext;

/// What a server with TLS offers.
pub(crate) const ALPN_PROTOCOLS: &[&str] = &["http/1.1"];

/// There are no options.
#[derive(Clone, Debug, Default)]
pub(crate) struct Http2Options;

/// What the first bytes of a connection are.
pub(crate) enum Detected {
    /// Not those of HTTP/2.
    NotHttp2,
    /// More are needed to know.
    NeedMore,
    /// Those of HTTP/2.
    Http2(Http2Start),
}

/// There is none.
pub(crate) enum Http2Start {}

impl Http2Start {
    /// Never called, since there is no value of this type.
    pub(crate) fn serve(
        self,
        _stream: ByteStream,
        _early: Bytes,
        _context: Rc<LoopContext>,
        _peer: PeerAddr,
        _taken: Taken,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        match self {}
    }
}

/// Returns that the connection is not one of HTTP/2.
#[inline(always)]
pub(crate) const fn detect(_options: &Http2Options, _first: &[u8]) -> Detected {
    Detected::NotHttp2
}

/// Returns `None`.
pub(crate) const fn of_alpn(_protocol: Option<&[u8]>) -> Option<Http2Start> {
    None
}

/// Returns `false`.
pub(crate) const fn is_detected(_options: &Http2Options) -> bool {
    false
}
