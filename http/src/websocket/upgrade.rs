//! The handshake (RFC 6455 section 4.2), and the options of the WebSocket that it starts.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Method};
use sha1::{Digest, Sha1};

use crate::extract::from_request::FromRequestParts;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::websocket_rejection::{Reason, WebSocketRejection};
use crate::protocol::head::RequestHead;
use crate::protocol::syntax::{list_contains, list_members};
use crate::websocket::driver::drive;
use crate::websocket::options::Options;
use crate::websocket::origin::Origin;
use crate::websocket::socket::WebSocket;

/// Follows the key in what is hashed (RFC 6455 section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The length of a key: 16 random bytes in base64.
const KEY_BYTES: usize = 24;

/// A request for a WebSocket, whose handshake is valid.
///
/// # Limits
/// A message and a frame have at most 1 MiB; a peer that sends a larger one is sent the code 1009.
/// A peer that is silent for 30 s is sent a ping, and has 30 s to respond to it.
///
/// # Other sites
/// A browser lets the pages of any site open a WebSocket, and sends the cookies of your site with
/// the request. If your handler trusts cookies, check the origin, by
/// [`same_origin`](Self::same_origin) or [`allow_origins`](Self::allow_origins).
///
/// # Examples
/// ```
/// use brigade_http::{Response, Router, WebSocketUpgrade, get};
///
/// async fn echo(ws: WebSocketUpgrade) -> Response {
///     ws.on_upgrade(async |mut socket| {
///         while let Some(Ok(message)) = socket.recv().await {
///             if message.is_data() && socket.send(message).await.is_err() {
///                 break;
///             }
///         }
///     })
/// }
///
/// let router = Router::new().route("/echo", get(echo));
/// ```
#[derive(Debug)]
#[must_use = "the handshake is completed by the response that `on_upgrade` returns"]
pub struct WebSocketUpgrade {
    /// The value of `Sec-WebSocket-Accept`.
    accept: HeaderValue,
    /// The subprotocols that the client speaks, in its order, as a list.
    requested: String,
    selected: Option<HeaderValue>,
    origin: Origin,
    options: Options,
}

impl WebSocketUpgrade {
    /// Checks the handshake (RFC 6455 section 4.2.1).
    fn of(head: &RequestHead) -> Result<Self, WebSocketRejection> {
        if !matches!(*head.method(), Method::GET | Method::HEAD) {
            return Err(Reason::Method.into());
        }
        if !is_offered(head) {
            return Err(Reason::NoUpgrade.into());
        }
        match head.header("sec-websocket-version") {
            Some(b"13") => {}
            Some(_) => return Err(Reason::Version.into()),
            None => return Err(Reason::NoVersion.into()),
        }
        let keys = || values(head, b"sec-websocket-key");
        let key = keys().next().filter(|key| keys().count() == 1 && is_key(key));
        let requested: Vec<_> =
            values(head, b"sec-websocket-protocol").map(String::from_utf8_lossy).collect();
        Ok(Self {
            accept: accept_key(key.ok_or(Reason::Key)?),
            requested: requested.join(","),
            selected: None,
            origin: Origin::of(head),
            options: Options::default(),
        })
    }

    /// Selects the first of these subprotocols that the client speaks, and names it in the
    /// response. Without this, or if the client speaks none of them, the response names none.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Response, WebSocketUpgrade};
    ///
    /// async fn chat(ws: WebSocketUpgrade) -> Response {
    ///     let ws = ws.protocols(["chat.v2", "chat.v1"]);
    ///     let is_v2 = ws.selected_protocol().is_some_and(|protocol| protocol == "chat.v2");
    ///     ws.on_upgrade(async move |socket| println!("v2: {is_v2}, {socket:?}"))
    /// }
    /// ```
    pub fn protocols<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let is_requested = |protocol: &[u8]| {
            // Names of subprotocols do not ignore case.
            list_members(self.requested.as_bytes()).any(|requested| requested == protocol)
        };
        let mut known = protocols.into_iter();
        let selected = known.find(|protocol| is_requested(protocol.as_ref().as_bytes()));
        self.selected = selected.and_then(|name| HeaderValue::from_str(name.as_ref()).ok());
        self
    }

    /// Returns the subprotocols that the client speaks, those that it prefers first.
    pub fn requested_protocols(&self) -> impl Iterator<Item = &str> {
        self.requested.split(',').map(str::trim).filter(|name| !name.is_empty())
    }

    /// Returns the subprotocol that [`protocols`](Self::protocols) has selected.
    #[must_use]
    pub fn selected_protocol(&self) -> Option<&str> {
        self.selected.as_ref().and_then(|protocol| protocol.to_str().ok())
    }

    /// Returns the origin of the page that asks for the WebSocket, such as `https://example.org`.
    /// `None` if the client is not a browser.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.origin()
    }

    /// Refuses pages of other sites: those whose origin does not have the host and port of this
    /// request. Clients that are not browsers send no origin and are let in.
    ///
    /// Behind a proxy that changes `Host`, use [`allow_origins`](Self::allow_origins).
    ///
    /// # Errors
    /// A 403 if the origin is another one.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::websocket::WebSocketRejection;
    /// use brigade_http::{Response, WebSocketUpgrade};
    ///
    /// async fn chat(ws: WebSocketUpgrade) -> Result<Response, WebSocketRejection> {
    ///     Ok(ws.same_origin()?.on_upgrade(async |socket| drop(socket)))
    /// }
    /// ```
    pub fn same_origin(self) -> Result<Self, WebSocketRejection> {
        match self.origin.is_same() {
            true => Ok(self),
            false => Err(Reason::Origin.into()),
        }
    }

    /// Refuses pages whose origin is none of these, such as `https://example.org`. Clients that
    /// are not browsers send no origin and are let in.
    ///
    /// # Errors
    /// A 403 if the origin is another one.
    pub fn allow_origins<I>(self, origins: I) -> Result<Self, WebSocketRejection>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let is_allowed = match self.origin() {
            Some(origin) => origins.into_iter().any(|allowed| allowed.as_ref() == origin),
            None => true,
        };
        if is_allowed { Ok(self) } else { Err(Reason::Origin.into()) }
    }

    /// Sets the maximum size of a message that is received, in bytes. The default is
    /// [`MESSAGE_BYTES_MAX`](crate::websocket::MESSAGE_BYTES_MAX).
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.options.message_bytes_max = bytes;
        self
    }

    /// Sets the maximum size of a frame that is received, in bytes: a part of a message, or all of
    /// it. The default is [`FRAME_BYTES_MAX`](crate::websocket::FRAME_BYTES_MAX).
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.options.frame_bytes_max = bytes;
        self
    }

    /// Sets how many bytes may wait for the peer to take them before
    /// [`send`](WebSocket::send) waits. The default is
    /// [`WRITE_BUFFER_BYTES_MAX`](crate::websocket::WRITE_BUFFER_BYTES_MAX). One message may exceed
    /// it.
    pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
        self.options.write_buffer_bytes_max = bytes.max(1);
        self
    }

    /// Sets the time of silence after which the peer is sent a ping; `None` for no pings. The
    /// default is [`PING_INTERVAL`](crate::websocket::PING_INTERVAL).
    ///
    /// Without pings a peer that is silent for [`Timeouts::upgraded_idle`] is given up.
    ///
    /// [`Timeouts::upgraded_idle`]: crate::Timeouts::upgraded_idle
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.options.ping_interval = interval.into();
        self
    }

    /// Sets how long the peer may take to respond to a ping, by a pong or anything else. The
    /// default is [`PONG_TIMEOUT`](crate::websocket::PONG_TIMEOUT).
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.options.pong_timeout = timeout;
        self
    }

    /// Returns the response that completes the handshake, after which `handler` runs with the
    /// WebSocket. The WebSocket is closed when the handler has ended and, if it has passed halves
    /// to other tasks, those are dropped.
    pub fn on_upgrade<F>(self, handler: F) -> Response
    where
        F: AsyncFnOnce(WebSocket) + 'static,
    {
        let Self { accept, selected, options, .. } = self;
        let run = move |upgraded| drive(upgraded, options, handler);
        let response = Response::upgrade(HeaderValue::from_static("websocket"), run)
            .with_header(SEC_WEBSOCKET_ACCEPT, accept);
        match selected {
            Some(protocol) => response.with_header(SEC_WEBSOCKET_PROTOCOL, protocol),
            None => response,
        }
    }
}

/// The rejection of a request that asks for no WebSocket, or has wrong headers, is a 426, 405 or
/// 400. An `Option` of this is `None` if the request does not ask for a WebSocket.
impl FromRequestParts for WebSocketUpgrade {
    type Rejection = WebSocketRejection;

    async fn from_request_parts(request: &mut Request) -> Result<Self, WebSocketRejection> {
        Self::of(request.head())
    }

    fn is_missing(request: &Request) -> bool {
        !is_offered(request.head())
    }
}

/// Returns `true` if the client asks for a WebSocket.
fn is_offered(head: &RequestHead) -> bool {
    head.upgrade().is_some_and(|protocols| list_contains(protocols.as_bytes(), b"websocket"))
}

/// Returns the values of a header, which may be on several lines.
fn values<'a>(head: &'a RequestHead, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let lines = head.header_lines().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| value)
}

/// Returns `true` if `key` encodes 16 bytes.
fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; KEY_BYTES];
    key.len() == KEY_BYTES && STANDARD.decode_slice(key, &mut bytes) == Ok(16)
}

fn accept_key(key: &[u8]) -> HeaderValue {
    let hash = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    let mut text = [0; 28];
    let length = STANDARD.encode_slice(hash, &mut text).expect("20 bytes are 28 in base64");
    HeaderValue::from_bytes(&text[..length]).expect("base64 is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_standard_has_the_response_of_the_standard() {
        // RFC 6455 section 1.3.
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for bad in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "dGhlIHNhbXBsZQ=="] {
            assert!(!is_key(bad.as_bytes()), "{bad}");
        }
    }
}
