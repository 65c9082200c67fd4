//! How a connection becomes one of HTTP/2.

use std::pin::Pin;
use std::rc::Rc;

use brigade_runtime::net::PeerAddr;
use bytes::Bytes;

use crate::message::byte_stream::ByteStream;
use crate::server::connection::timing::Taken;
use crate::server::http2::connection::Http2Connection;
use crate::server::http2::options::Http2Options;
use crate::server::loop_context::LoopContext;
use crate::transport::http2::preface::{Preface, preface};

/// The name of HTTP/2 over TLS (RFC 9113 section 3.2).
const ALPN: &[u8] = b"h2";
/// What a server with TLS offers, what it prefers first.
pub(crate) const ALPN_PROTOCOLS: &[&str] = &["h2", "http/1.1"];

/// What the first bytes of a connection are.
pub(crate) enum Detected {
    /// Not those of HTTP/2, or it is not allowed here.
    NotHttp2,
    /// The beginning of a client preface.
    NeedMore,
    /// A client preface.
    Http2(Http2Start),
}

/// Shows that a connection speaks HTTP/2: its client has sent the preface, or chose it by ALPN.
pub(crate) struct Http2Start(());

/// Looks at the first bytes of a connection without TLS.
#[inline]
pub(crate) fn detect(options: &Http2Options, first: &[u8]) -> Detected {
    if !options.prior_knowledge {
        return Detected::NotHttp2;
    }
    match preface(first) {
        Preface::NotHttp2 => Detected::NotHttp2,
        Preface::NeedMore => Detected::NeedMore,
        Preface::Http2 => Detected::Http2(Http2Start(())),
    }
}

/// Returns a start if this is the protocol that was chosen by ALPN.
pub(crate) fn of_alpn(protocol: Option<&[u8]>) -> Option<Http2Start> {
    (protocol == Some(ALPN)).then_some(Http2Start(()))
}

/// Returns `true` if a client without TLS may begin with the preface of HTTP/2.
pub(crate) fn is_detected(options: &Http2Options) -> bool {
    options.prior_knowledge
}

impl Http2Start {
    /// Serves a connection. `early` is what was read of it before, with the preface. `taken` is
    /// for the `Server-Timing` header.
    ///
    /// The future is to be polled in the connection's task, which the server wakes for a drain, for
    /// snapshots, and to close idle connections. It is ready when the connection has ended.
    /// Dropping it closes the connection, and cancels its handlers.
    pub(crate) fn serve(
        self,
        stream: ByteStream,
        early: Bytes,
        context: Rc<LoopContext>,
        peer: PeerAddr,
        taken: Taken,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(Http2Connection::new(stream, early, context, peer, taken))
    }
}
