//! The heads of received messages: the bytes as received, and the positions of their parts.

// std
use std::fmt;

// crates
use http::{HeaderMap, Method, StatusCode, Uri, Version};

// ours
use crate::protocol::fields::{Fields, HeaderLines, Span};
use crate::protocol::framing::Framing;
use crate::protocol::headers::Headers;

/// The head of a request: its request line and headers.
///
/// It keeps the bytes as they were received. [`headers`](Self::headers) builds a [`HeaderMap`] when
/// it is first called; [`header`](Self::header) looks through the bytes.
#[derive(Clone)]
pub struct RequestHead {
    pub(crate) fields: Fields,
    pub(crate) method: Method,
    pub(crate) framing: Framing,
    pub(crate) target: Span,
    /// Empty if a target in absolute form has no path.
    pub(crate) path: Span,
    /// Empty if a request of HTTP/1.0 names no host.
    pub(crate) authority: Span,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) wants_upgrade: bool,
}

impl RequestHead {
    /// Returns the head of no request, to be filled by
    /// [`ServerConnection::next_head`](crate::protocol::ServerConnection::next_head).
    #[must_use]
    pub const fn empty() -> Self {
        const NOWHERE: Span = Span { start: 0, end: 0 };
        Self {
            fields: Fields::empty(),
            method: Method::GET,
            framing: Framing::None,
            target: NOWHERE,
            path: NOWHERE,
            authority: NOWHERE,
            version: Version::HTTP_11,
            keep_alive: false,
            expects_continue: false,
            wants_upgrade: false,
        }
    }

    /// Returns the method, which is never `CONNECT` or `TRACE`.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the request target as it was sent (RFC 9112 section 3.2): `/path?query`,
    /// `http://host/path?query`, or `*` for `OPTIONS`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.text(self.target)
    }

    /// Returns the path of the target, percent-encoded. It is at least `/`, or `*` for `OPTIONS *`.
    #[must_use]
    pub fn path(&self) -> &str {
        std::str::from_utf8(self.path_bytes()).unwrap_or_default()
    }

    /// Returns the [`path`](Self::path) without checking that it is UTF-8.
    pub(crate) fn path_bytes(&self) -> &[u8] {
        match self.fields.part(self.path) {
            [] => b"/",
            path => path,
        }
    }

    /// Returns what follows the first `?` of the target, percent-encoded, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.text(Span { start: self.path.end, end: self.target.end }).strip_prefix('?')
    }

    /// Returns the version: HTTP/1.0 or HTTP/1.1. A server of HTTP/2 sets that.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the host of the request with the port, if there is one. It comes from a target in
    /// absolute form, or else from `Host` (RFC 9112 section 3.2.2). `None` is possible only for
    /// HTTP/1.0.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        Some(self.text(self.authority)).filter(|authority| !authority.is_empty())
    }

    /// Returns the [`authority`](Self::authority) without the port. An IPv6 address is in
    /// brackets.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let authority = self.authority()?;
        let end = match authority.find(']') {
            Some(bracket) => bracket + 1,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        authority.get(..end)
    }

    /// Returns all headers as a map, which is built by the first call.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.fields.map()
    }

    /// Returns the value of the first header of this name, ignoring case. Looks through the
    /// received bytes and does not build a map.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.value(name)
    }

    /// Returns an iterator over the header lines as they were sent.
    #[must_use]
    pub fn header_lines(&self) -> HeaderLines<'_> {
        self.fields.lines()
    }

    /// Returns the target as a [`Uri`]. Copies it. If [`Uri`] does not accept the target, its
    /// quotation marks and grave accents are percent-encoded.
    #[must_use]
    pub fn uri(&self) -> Uri {
        let encoded = || self.target().replace('"', "%22").replace('`', "%60");
        let uri = Uri::try_from(self.target()).or_else(|_| Uri::try_from(encoded()));
        debug_assert!(
            uri.is_ok() || self.bytes().is_empty(),
            "the decoder accepts only what this type accepts: {}",
            self.target()
        );
        uri.unwrap_or_default()
    }

    /// Returns `true` if the client wants to keep the connection open after the response: by
    /// default in HTTP/1.1, on request in HTTP/1.0 (RFC 9112 section 9.3).
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Returns `true` if the client may be waiting for a `100 Continue` before it sends the body
    /// (RFC 9110 section 10.1.1).
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Returns the value of `Upgrade`: the protocols that the client would prefer (RFC 9110 section
    /// 7.8). `None` unless the request is a `GET` of HTTP/1.1 without a body and with
    /// `Connection: upgrade`.
    #[must_use]
    pub fn upgrade(&self) -> Option<&str> {
        let protocols = self.wants_upgrade.then(|| self.header("upgrade"))??;
        std::str::from_utf8(protocols).ok()
    }

    /// Returns how the end of the body is recognized.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns the whole head as it was received, including its blank line.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.fields.bytes()
    }

    fn text(&self, part: Span) -> &str {
        self.fields.text(part)
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("target", &self.target())
            .field("version", &self.version)
            .field("framing", &self.framing)
            .field("headers", &self.fields)
            .finish()
    }
}

/// The head of a response as a client received it: its status line and headers.
#[derive(Clone)]
pub struct ResponseHead {
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    pub(crate) reason: Span,
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
}

impl ResponseHead {
    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the reason phrase as it was sent. It is empty if there is none or it is not ASCII.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.fields.text(self.reason)
    }

    /// Returns the version: HTTP/1.0 or HTTP/1.1. A client of HTTP/2 sets that.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns all headers as a map, which is built by the first call.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.fields.map()
    }

    /// Returns the value of the first header of this name, ignoring case. Does not build a map.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.value(name)
    }

    /// Returns an iterator over the header lines as they were sent.
    #[must_use]
    pub fn header_lines(&self) -> HeaderLines<'_> {
        self.fields.lines()
    }

    /// Returns `true` if the server keeps the connection open, according to the version and
    /// `Connection` (RFC 9112 section 9.3).
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Returns how the end of the body is recognized.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Removes all headers with these names, ignoring case.
    #[cfg_attr(not(feature = "compression"), expect(dead_code, reason = "only decoding needs it"))]
    pub(crate) fn remove(&mut self, names: &[&str]) {
        self.fields.remove(names);
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("framing", &self.framing)
            .field("headers", &self.fields)
            .finish()
    }
}

/// The headers of a request, to be sent on.
impl From<&RequestHead> for Headers {
    fn from(head: &RequestHead) -> Self {
        to_headers(&head.fields)
    }
}

/// The headers of a response, to be sent on.
impl From<&ResponseHead> for Headers {
    fn from(head: &ResponseHead) -> Self {
        to_headers(&head.fields)
    }
}

fn to_headers(fields: &Fields) -> Headers {
    let mut headers = Headers::new();
    fields.for_each(|name, value| headers.append(name, value));
    headers
}
