//! Compressed requests.

use http::StatusCode;
use http::header::ACCEPT_ENCODING;

use crate::message::content_coding::ContentCoding;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::protocol::head::RequestHead;
use crate::protocol::syntax::list_members;
use crate::routing::endpoint::Next;

/// Returns a middleware that decompresses the bodies of requests with `Content-Encoding: gzip`,
/// `br` or `zstd`, while they are read. A body may have `bytes_max` bytes after that.
///
/// - Reading a body that becomes longer fails with a 413 as soon as it does, so that little memory
///   is used for a short one that would become very long. The other limits of bodies hold as well,
///   for what the client sends.
/// - Reading a body that cannot be decompressed fails with a 400.
/// - The response to any other coding, and to a body that was compressed several times, is a 415
///   that lists what is accepted.
///
/// The head stays as the client sent it, with its `Content-Encoding`.
///
/// # Examples
/// ```
/// use brigade_http::middleware::decompression;
/// use brigade_http::{BodyError, Bytes, Request, Router, post};
///
/// async fn echo(mut request: Request) -> Result<Bytes, BodyError> {
///     request.body_mut().collect(1024 * 1024).await
/// }
///
/// let router = Router::new().route("/echo", post(echo)).layer(decompression(1024 * 1024));
/// ```
pub fn decompression(bytes_max: u64) -> impl AsyncFn(Request, Next) -> Response {
    async move |request: Request, next: Next| respond(bytes_max, request, next).await
}

/// In the extensions of a request whose body is decompressed already.
struct Decompressed;

async fn respond(bytes_max: u64, mut request: Request, next: Next) -> Response {
    if request.extensions().get::<Decompressed>().is_some() {
        return next.run(request).await;
    }
    match coding(&request) {
        Ok(None) => next.run(request).await,
        Ok(Some(coding)) => {
            request.extensions_mut().insert(Decompressed);
            next.run(request.map_body(|body| body.decompress(coding, bytes_max))).await
        }
        Err(Unsupported) => {
            let names = ContentCoding::ALL.map(ContentCoding::name).join(", ");
            let refused = Response::plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the Content-Encoding is not supported",
            );
            refused.with_header(ACCEPT_ENCODING, names.try_into().expect("names are valid"))
        }
    }
}

struct Unsupported;

/// Returns the coding of the body, if it has one.
fn coding(head: &RequestHead) -> Result<Option<ContentCoding>, Unsupported> {
    let lines = head.header_lines();
    let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding"));
    let names = lines.flat_map(|(_, value)| list_members(value));
    let mut names =
        names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    let Some(name) = names.next() else { return Ok(None) };
    match (ContentCoding::from_name(name), names.next()) {
        (Some(coding), None) => Ok(Some(coding)),
        _ => Err(Unsupported),
    }
}
