//! The heads of messages that were received: the bytes as they came, and where in them things are.

// std
use std::fmt;

// crates
use http::{HeaderMap, Method, StatusCode, Uri, Version};

// ours
use crate::protocol::fields::{Fields, HeaderLines, Span};
use crate::protocol::framing::Framing;

/// The head of a request: its request line and headers.
///
/// It is the bytes as they were received and where in them things are; the [`HeaderMap`] is built
/// when it is first asked for.
#[derive(Clone)]
pub struct RequestHead {
    pub(crate) fields: Fields,
    pub(crate) method: Method,
    pub(crate) framing: Framing,
    pub(crate) target: Span,
    /// Empty for a target in absolute form that has no path.
    pub(crate) path: Span,
    /// Empty if a 1.0 request names no host.
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

    /// The method. `CONNECT` and `TRACE` never get here.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The request target as it was sent (RFC 9112 section 3.2): `/path?query`,
    /// `http://host/path?query`, or `*` for `OPTIONS`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.text(self.target)
    }

    /// The path of the target, still percent-encoded: at least `/`, or `*` for `OPTIONS *`.
    #[must_use]
    pub fn path(&self) -> &str {
        std::str::from_utf8(self.path_bytes()).unwrap_or_default()
    }

    /// The same in bytes, which need not be checked to be text.
    pub(crate) fn path_bytes(&self) -> &[u8] {
        match self.fields.part(self.path) {
            [] => b"/",
            path => path,
        }
    }

    /// What follows the first `?` of the target, still percent-encoded, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.text(Span { start: self.path.end, end: self.target.end }).strip_prefix('?')
    }

    /// HTTP/1.0 or HTTP/1.1.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The host and, if there is one, the port that the request is for: those of a target in
    /// absolute form, else those of `Host` (RFC 9112 section 3.2.2). Only a 1.0 request may have
    /// none.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        Some(self.text(self.authority)).filter(|authority| !authority.is_empty())
    }

    /// The host of [`authority`](Self::authority), without the port; an IPv6 address is in
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

    /// All headers, as a map that is built when this is first called.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.fields.map()
    }

    /// The value of the first header of this name, in whatever case; looks through the received
    /// bytes and builds no map.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.value(name)
    }

    /// All header lines as they were sent.
    #[must_use]
    pub fn header_lines(&self) -> HeaderLines<'_> {
        self.fields.lines()
    }

    /// The target as a [`Uri`], made of a copy of the received bytes.
    #[must_use]
    pub fn uri(&self) -> Uri {
        let uri = Uri::try_from(self.target());
        debug_assert!(
            uri.is_ok() || self.bytes().is_empty(),
            "decoding accepts what this type takes: {}",
            self.target()
        );
        uri.unwrap_or_default()
    }

    /// Returns `true` if the client wants the connection kept after the answer: by default in
    /// 1.1, on demand in 1.0 (RFC 9112 section 9.3).
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

    /// The protocols that the client would rather speak (RFC 9110 section 7.8); only for a 1.1
    /// `GET` without a body that has `Connection: upgrade`.
    #[must_use]
    pub fn upgrade(&self) -> Option<&str> {
        let protocols = self.wants_upgrade.then(|| self.header("upgrade"))??;
        std::str::from_utf8(protocols).ok()
    }

    /// How the end of the body is found.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The whole head as it was received, its blank line included.
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

/// The head of a response: its status line and headers, as a client received it.
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
    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase as it was sent; empty if there is none or it is no ASCII.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.fields.text(self.reason)
    }

    /// HTTP/1.0 or HTTP/1.1.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// All headers, as a map that is built when this is first called.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.fields.map()
    }

    /// The value of the first header of this name, in whatever case; builds no map.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.value(name)
    }

    /// All header lines as they were sent.
    #[must_use]
    pub fn header_lines(&self) -> HeaderLines<'_> {
        self.fields.lines()
    }

    /// Returns `true` if the server says, by version and `Connection`, that it keeps the
    /// connection (RFC 9112 section 9.3).
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// How the end of the body is found.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
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
