//! Responses that are decompressed while they are read.

use http::HeaderValue;

use crate::client::options::{ClientBuilder, Decompress, Decompression};
use crate::client::request::ClientRequest;
use crate::message::content_coding::ContentCoding;
use crate::protocol::head::ResponseHead;
use crate::protocol::syntax::list_members;

/// The status of a part of a response, which cannot be decompressed by itself.
const PARTIAL_CONTENT: u16 = 206;

impl ClientBuilder {
    /// Sets whether responses are decompressed. They are not by default.
    /// [`ClientRequest::decompress`](crate::ClientRequest::decompress) sets it for one request.
    ///
    /// - Requests are sent with `Accept-Encoding: zstd, br, gzip`, unless they have an
    ///   `Accept-Encoding` or a `Range`.
    /// - A response with one of these codings is decompressed while it is read. Its
    ///   `Content-Encoding` and `Content-Length` are removed. Any other response stays as it is:
    ///   one with another coding or with several, one without a body, such as the response to a
    ///   `HEAD`, and a 206.
    /// - Limits of the body count what it becomes, so a short one that becomes very long ends with
    ///   [`ClientErrorKind::TooLarge`](crate::ClientErrorKind::TooLarge).
    ///   [`body_bytes_max`](Self::body_bytes_max) also limits what is received.
    /// - A body that is not what its `Content-Encoding` says ends with
    ///   [`ClientErrorKind::Coding`](crate::ClientErrorKind::Coding).
    ///
    /// The requests of [`Client::forward`](crate::Client::forward) are not concerned: a proxy sends
    /// bodies on as they are.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_http::{Client, ClientError};
    ///
    /// async fn page(url: &str) -> Result<String, ClientError> {
    ///     let client = Client::builder().decompress(true).build();
    ///     client.get(url).send().await?.text().await
    /// }
    /// ```
    pub fn decompress(mut self, decompress: bool) -> Self {
        self.options.decompression = decompress.then_some(DECOMPRESSION);
        self
    }
}

impl ClientRequest {
    /// Sets whether the response is decompressed, as
    /// [`ClientBuilder::decompress`](crate::ClientBuilder::decompress) does for all requests. A
    /// request of [`Client::forward`](crate::Client::forward) is concerned only by this.
    pub fn decompress(mut self, decompress: bool) -> Self {
        self.decompression = decompress.then_some(DECOMPRESSION);
        self
    }
}

const DECOMPRESSION: Decompression = Decompression { accept_encoding, begin };

fn accept_encoding() -> HeaderValue {
    let names = ContentCoding::ALL.map(ContentCoding::name).join(", ");
    names.try_into().expect("names are valid")
}

/// Returns how to decompress the body of `head`, and removes the headers that describe the
/// compressed one. `None` if it is to stay as it is.
fn begin(head: &mut ResponseHead) -> Option<Decompress> {
    if head.status().as_u16() == PARTIAL_CONTENT {
        return None;
    }
    let coding = {
        let lines = head.header_lines();
        let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding"));
        let codings = lines.flat_map(|(_, value)| list_members(value));
        let mut codings =
            codings.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
        let coding = ContentCoding::from_name(codings.next()?)?;
        if codings.next().is_some() {
            return None;
        }
        coding
    };
    head.remove(&["content-encoding", "content-length"]);
    Some(Box::new(move |body, bytes_max| body.decompress(coding, bytes_max)))
}
