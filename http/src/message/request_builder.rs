//! Builds requests without a connection, for calling a service directly.

use std::net::{Ipv4Addr, SocketAddr};

use brigade_runtime::net::PeerAddr;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method};

use crate::message::body::Body;
use crate::message::request::Request;
use crate::message::request_text::RequestText;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::ProtocolError;
use crate::protocol::headers::Headers;
use crate::protocol::limits::Limits;

/// The `Host` of a request for which none is set.
const HOST_DEFAULT: &[u8] = b"localhost";

/// Builds a [`Request`]; see [`Request::builder`].
#[derive(Debug)]
#[must_use = "a request is built by `build`"]
pub struct RequestBuilder {
    method: Method,
    target: String,
    headers: Headers,
    body: Body,
    peer: PeerAddr,
    /// The first error in a header.
    error: Option<ProtocolError>,
}

impl Request {
    /// Starts to build a request without a connection, for [`Service::call`](crate::Service::call).
    /// `target` is a percent-encoded path with an optional query, or a URL.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Method, ProtocolError, Request};
    ///
    /// let request = Request::builder(Method::POST, "/greet?polite=1")
    ///     .header("content-type", "application/x-www-form-urlencoded")
    ///     .body("name=Ada")
    ///     .build()?;
    /// assert_eq!((request.path(), request.query()), ("/greet", Some("polite=1")));
    ///
    /// let refused = Request::builder(Method::GET, "/two words").build();
    /// assert_eq!(refused.unwrap_err(), ProtocolError::Target);
    /// # Ok::<_, ProtocolError>(())
    /// ```
    pub fn builder(method: Method, target: impl Into<String>) -> RequestBuilder {
        RequestBuilder {
            method,
            target: target.into(),
            headers: Headers::new(),
            body: Body::empty(),
            peer: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0).into(),
            error: None,
        }
    }
}

impl RequestBuilder {
    /// Appends a header, even if there is one of that name. `Host` is `localhost` unless it is set
    /// here, and `Content-Length` is added if there is a body. [`build`](Self::build) returns an
    /// error if the name or the value is invalid.
    pub fn header(mut self, name: impl AsRef<str>, value: impl TryInto<HeaderValue>) -> Self {
        match (HeaderName::try_from(name.as_ref()), value.try_into()) {
            (Ok(name), Ok(value)) => return self.valid_header(name, value),
            (Err(_), _) => self.error = self.error.or(Some(ProtocolError::HeaderName)),
            (_, Err(_)) => self.error = self.error.or(Some(ProtocolError::HeaderValue)),
        }
        self
    }

    /// Appends a header whose name and value are valid.
    pub(crate) fn valid_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets the body. `Transfer-Encoding: chunked` is added if its length is unknown.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the address of the client, in place of `127.0.0.1:0`.
    pub fn peer_addr(mut self, peer: impl Into<PeerAddr>) -> Self {
        self.peer = peer.into();
        self
    }

    /// Builds the request, which has version HTTP/1.1. Its head is encoded and then decoded as a
    /// server would do it, with the default [`Limits`].
    ///
    /// # Errors
    /// The error with which a server would refuse the request, and [`ProtocolError::UnexpectedEnd`]
    /// if the headers announce a body and none is set.
    pub fn build(self) -> Result<Request, ProtocolError> {
        self.build_within(&Limits::default())
    }

    /// Builds the request with these limits.
    pub(crate) fn build_within(self, limits: &Limits) -> Result<Request, ProtocolError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut text = RequestText::new(self.method.as_str(), &self.target)?;
        if !self.headers.contains(&HOST) {
            text.header(HOST.as_str(), HOST_DEFAULT);
        }
        for (name, value) in &self.headers {
            text.header(name.as_str(), value.as_bytes());
        }
        match self.body.length() {
            BodyLength::Empty | BodyLength::Known(0) => {}
            BodyLength::Known(length) => {
                let mut digits = itoa::Buffer::new();
                text.header(CONTENT_LENGTH.as_str(), digits.format(length).as_bytes());
            }
            BodyLength::Unknown => text.header(TRANSFER_ENCODING.as_str(), b"chunked"),
        }
        let mut request = text.decode(limits)?;
        if self.body.is_end() && request.framing().has_body() {
            return Err(ProtocolError::UnexpectedEnd);
        }
        request.parts.body = self.body;
        request.parts.peer = self.peer;
        Ok(request)
    }
}
