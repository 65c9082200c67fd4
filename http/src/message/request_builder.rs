//! Requests that no connection has received, for those who call a service by themselves.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue, Method};

use crate::message::parts::PartsBox;
use crate::message::request::Request;
use crate::message::request_body::RequestBody;
use crate::protocol::error::ProtocolError;
use crate::protocol::headers::Headers;
use crate::protocol::limits::Limits;
use crate::protocol::server_connection::{RequestEvent, ServerConnection};
use crate::protocol::syntax::is_target;

/// The host that a request is for which names none.
const HOST_USUAL: HeaderValue = HeaderValue::from_static("localhost");

/// A request that is being made up; [`build`](RequestBuilder::build) makes it. To be had from
/// [`Request::builder`].
#[derive(Debug)]
#[must_use = "a request is made by `build`"]
pub struct RequestBuilder {
    method: Method,
    target: String,
    headers: Headers,
    body: Bytes,
    peer: SocketAddr,
    /// What is wrong with a header.
    error: Option<ProtocolError>,
}

impl Request {
    /// A request that comes from no connection, for [`Service::call`](crate::Service::call).
    /// `target` is a path with or without a query, percent-encoded, or in absolute form.
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
            body: Bytes::new(),
            peer: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            error: None,
        }
    }
}

impl RequestBuilder {
    /// With a header line more, whether or not there is one of that name. `Host` is `localhost`
    /// unless set here; `Content-Length` is added where there is a body.
    pub fn header(mut self, name: impl AsRef<str>, value: impl TryInto<HeaderValue>) -> Self {
        match (HeaderName::try_from(name.as_ref()), value.try_into()) {
            (Ok(name), Ok(value)) => self.headers.append(name, value),
            (Err(_), _) => self.error = self.error.or(Some(ProtocolError::HeaderName)),
            (_, Err(_)) => self.error = self.error.or(Some(ProtocolError::HeaderValue)),
        }
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// What [`Request::peer_addr`] is to say, in place of `127.0.0.1:0`.
    pub fn peer_addr(mut self, peer: SocketAddr) -> Self {
        self.peer = peer;
        self
    }

    /// The request, of HTTP/1.1: its head is written down, and read by the decoder that reads
    /// those of connections, within the default [`Limits`].
    ///
    /// # Errors
    /// What a server refuses such a request with; [`ProtocolError::UnexpectedEnd`] if its headers
    /// speak of a body that it was not given.
    pub fn build(self) -> Result<Request, ProtocolError> {
        let mut connection = ServerConnection::new();
        connection.receive(&self.head()?);
        connection.receive_eof();
        let mut parts = PartsBox::new();
        match connection.next_head(&mut parts.head, &Limits::default())? {
            RequestEvent::Head => {}
            RequestEvent::NeedData | RequestEvent::Closed => {
                return Err(ProtocolError::UnexpectedEnd);
            }
        }
        if self.body.is_empty() && parts.head.framing().has_body() {
            return Err(ProtocolError::UnexpectedEnd);
        }
        parts.body = RequestBody::full(self.body);
        parts.peer = self.peer;
        Ok(Request { parts })
    }

    /// The head as a client would send it.
    fn head(&self) -> Result<Vec<u8>, ProtocolError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        // The one part that may hold anything, also the end of a line.
        if !is_target(self.target.as_bytes()) {
            return Err(ProtocolError::Target);
        }
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut add = |name: &HeaderName, value: &HeaderValue| {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        };
        if !self.headers.contains(&HOST) {
            add(&HOST, &HOST_USUAL);
        }
        self.headers.iter().for_each(|(name, value)| add(name, value));
        if !self.body.is_empty() {
            add(&CONTENT_LENGTH, &self.body.len().into());
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}
