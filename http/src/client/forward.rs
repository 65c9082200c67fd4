//! The parts of a proxy: a received request to be sent on, and a received response to be sent back.
//! Bodies are streamed, with their lengths and trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use crate::client::Client;
use crate::client::request::ClientRequest;
use crate::client::response::ClientResponse;
use crate::message::body::Body;
use crate::message::body_error::{BodyError, BoxError};
use crate::message::part::Part;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::chunked::is_allowed_in_trailers;
use crate::protocol::framing::Framing;
use crate::protocol::head::RequestHead;
use crate::protocol::headers::Headers;
use crate::protocol::syntax::list_contains;

impl Client {
    /// Returns a request that sends a received request on to `url`, as a proxy does. It has the
    /// same method, headers and body, with these differences:
    ///
    /// - The headers for one connection are [removed](Headers::remove_hop_by_hop). If the client
    ///   accepts trailers, the server is told so.
    /// - `Host` is that of `url`.
    /// - The body is streamed when the server takes it, with its length or else in chunks, and with
    ///   its trailers. How long it may be is limited by the server that received the request. An
    ///   `Expect: 100-continue` is passed on, so that the client sends its body when the server at
    ///   `url` asks for it.
    /// - A compressed response is not decompressed, also if the client was built so: its headers
    ///   and its body belong together.
    ///
    /// If nothing of the request could be sent,
    /// [`ClientError::take_request`](crate::ClientError::take_request) returns it, with its body
    /// untouched. The response converts into a [`Response`] of this server.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Client, ClientError, Request, Response, Router};
    ///
    /// async fn forward(client: &Client, request: Request) -> Result<Response, ClientError> {
    ///     let uri = request.uri();
    ///     let path = uri.path_and_query().map_or("/", |path| path.as_str());
    ///     let url = format!("http://127.0.0.1:8081{path}");
    ///     Ok(client.forward(request, url).send().await?.into())
    /// }
    ///
    /// let client = Client::new();
    /// let forward = async move |request: Request| forward(&client, request).await;
    /// let router = Router::new().fallback(forward);
    /// ```
    pub fn forward(&self, request: Request, url: impl AsRef<str>) -> ClientRequest {
        let (head, body) = request.into_parts();
        let mut request =
            self.request(head.method().clone(), url).body(allowed(body, head.version()));
        *request.headers_mut() = headers_to_send_on(&head);
        request.decompression = None;
        request
    }
}

fn headers_to_send_on(head: &RequestHead) -> Headers {
    let mut headers = Headers::from(head);
    let accepts_trailers =
        headers.value(&TE).is_some_and(|te| list_contains(te.as_bytes(), b"trailers"));
    headers.remove_hop_by_hop();
    headers.remove(&HOST);
    // The body knows it.
    headers.remove(&CONTENT_LENGTH);
    if !head.expects_continue() {
        // It means nothing in HTTP/1.0 (RFC 9110 section 10.1.1).
        headers.remove(&EXPECT);
    }
    if accepts_trailers {
        headers.append(TE, HeaderValue::from_static("trailers"));
        headers.append(CONNECTION, HeaderValue::from_static("te"));
    }
    headers
}

/// Sends a received response back, as a proxy does: with its status, its headers except those
/// for [one connection](Headers::remove_hop_by_hop), and its body, which is streamed with its
/// length or else in chunks, and with its trailers. A response to `HEAD` keeps the length that it
/// has, and so does a 304.
///
/// A 101 becomes a 502: use [`ClientResponse::upgrade`] and [`Response::upgrade`].
impl From<ClientResponse> for Response {
    fn from(response: ClientResponse) -> Self {
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Self::plain(StatusCode::BAD_GATEWAY, "");
        }
        let (head, body) = response.into_parts();
        let mut headers = Headers::from(&head);
        headers.remove_hop_by_hop();
        let body = match head.framing() {
            // The length is that of another response, to GET.
            Framing::None if headers.contains(&CONTENT_LENGTH) => Body::empty(),
            // A length of 0 would be a statement about that other response.
            Framing::None => Body::parts(Nothing, BodyLength::Unknown),
            Framing::Length(_) => {
                // The body knows it.
                headers.remove(&CONTENT_LENGTH);
                allowed(body, head.version())
            }
            Framing::Chunked | Framing::UntilClose => allowed(body, head.version()),
        };
        Self { status, headers, body }
    }
}

impl IntoResponse for ClientResponse {
    fn into_response(self) -> Response {
        self.into()
    }
}

/// A body of no bytes whose length is not known.
struct Nothing;

impl Stream for Nothing {
    type Item = Result<Part, BoxError>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// Returns a body without the trailers that would be refused, so that they do not cost the rest.
fn allowed(body: Body, version: Version) -> Body {
    match body.length() {
        BodyLength::Empty => body,
        // Only HTTP/2 has trailers after a body of known length.
        BodyLength::Known(_) if version != Version::HTTP_2 => body,
        length => Body::parts(Allowed { body }, length),
    }
}

struct Allowed {
    body: Body,
}

impl Stream for Allowed {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = ready!(self.body.poll_part(cx));
        Poll::Ready(part.map(|part| match part {
            Ok(Part::Trailers(trailers)) => Ok(Part::Trailers(without_refused(trailers))),
            part => part.map_err(BodyError::into_cause),
        }))
    }
}

fn without_refused(mut trailers: HeaderMap) -> HeaderMap {
    let refused: Vec<_> =
        trailers.keys().filter(|name| !is_allowed_in_trailers(name)).cloned().collect();
    refused.iter().for_each(|name| {
        trailers.remove(name);
    });
    trailers
}
