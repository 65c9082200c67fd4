//! Compressed responses.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, VARY,
};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::message::content_coding::ContentCoding;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::headers::Headers;
use crate::protocol::syntax::{list_contains, parse_decimal, trim_ows};
use crate::routing::endpoint::Next;

/// Shorter bodies fit into one packet, with or without compression.
const BYTES_MIN: u64 = 1024;

/// Returns a middleware that compresses responses with zstd, brotli or gzip, whichever the client
/// likes best by its `Accept-Encoding`.
///
/// A response is left as it is if
/// - it has a `Content-Encoding`, a `Content-Range`, or `Cache-Control: no-transform`, with which a
///   handler can keep it as it is;
/// - its media type is missing, or one whose content is compressed already or may be anything, such
///   as images, videos, archives and `application/octet-stream`;
/// - its body is known to be shorter than [`min_bytes`](CompressionOptions::min_bytes), or would
///   not become shorter;
/// - its status is 204, 206 or 304, or it starts another protocol.
///
/// A compressed response has no `Content-Length` unless its body is short, and no `Accept-Ranges`,
/// and its `ETag` becomes a weak one: the bytes are not those that the handler has tagged. All
/// responses that depend on `Accept-Encoding` say so in `Vary`.
///
/// A stream is compressed while it is sent. Nothing is held back when its next part is not there
/// yet, so that events arrive at once. A stream that waits holds its encoder, whose window alone
/// has 32 KiB with gzip and 512 KiB with the others.
///
/// # Security
/// Do not compress responses that contain a secret together with text from the request: the length
/// of the response shows how much both have in common, which an attacker can use to guess the
/// secret (BREACH).
///
/// # Examples
/// ```
/// use brigade_http::middleware::{CompressionOptions, compression};
/// use brigade_http::{Router, get};
///
/// let router = Router::new()
///     .route("/", get(async || "hello ".repeat(1000)))
///     .layer(compression(CompressionOptions::new()));
/// ```
pub fn compression(options: CompressionOptions) -> impl AsyncFn(Request, Next) -> Response {
    async move |request: Request, next: Next| respond(&options, request, next).await
}

/// What to compress, and how; for [`compression`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CompressionOptions {
    /// Those that compress best come first.
    codings: Vec<ContentCoding>,
    bytes_min: u64,
}

impl Default for CompressionOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl CompressionOptions {
    /// Creates options for bodies of at least 1 KiB, and for zstd, brotli and gzip.
    pub fn new() -> Self {
        Self { codings: ContentCoding::ALL.into(), bytes_min: BYTES_MIN }
    }

    /// Sets the shortest body that is compressed. One of unknown length always is.
    pub fn min_bytes(mut self, bytes: u64) -> Self {
        self.bytes_min = bytes;
        self
    }

    /// Sets whether zstd is used. On by default.
    pub fn zstd(self, zstd: bool) -> Self {
        self.with(ContentCoding::Zstd, zstd)
    }

    /// Sets whether brotli is used. On by default.
    pub fn brotli(self, brotli: bool) -> Self {
        self.with(ContentCoding::Brotli, brotli)
    }

    /// Sets whether gzip is used. On by default.
    pub fn gzip(self, gzip: bool) -> Self {
        self.with(ContentCoding::Gzip, gzip)
    }

    fn with(mut self, coding: ContentCoding, is_used: bool) -> Self {
        let before = self.codings;
        let is_left = |known: &ContentCoding| match *known == coding {
            true => is_used,
            false => before.contains(known),
        };
        self.codings = ContentCoding::ALL.into_iter().filter(is_left).collect();
        self
    }
}

async fn respond(options: &CompressionOptions, request: Request, next: Next) -> Response {
    let coding = ContentCoding::negotiate(&request, options.codings.iter().copied());
    let is_required = ContentCoding::is_required(&request);
    let mut response = next.run(request).await;
    if response.status == StatusCode::NOT_MODIFIED {
        if !is_encoded(&response.headers) {
            add_vary(&mut response.headers);
            // It updates a stored response that was compressed.
            coding.is_some().then(|| weaken_etag(&mut response.headers));
        }
        return response;
    }
    if !is_eligible(&response) {
        return response;
    }
    let is_short = length(&response).is_some_and(|length| length < options.bytes_min);
    if is_short && !is_required {
        return response;
    }
    add_vary(&mut response.headers);
    match coding {
        Some(coding) => compress(response, coding),
        None => response,
    }
}

fn compress(mut response: Response, coding: ContentCoding) -> Response {
    // The response to HEAD has the headers of that to GET, but may have no body.
    let is_head = matches!(response.body.length(), BodyLength::Empty);
    response.body = match response.body.compress(coding) {
        Err(body) if is_head => body,
        Ok(body) => body,
        Err(body) => {
            response.body = body;
            return response;
        }
    };
    let headers = &mut response.headers;
    headers.insert(CONTENT_ENCODING, coding.value());
    headers.remove(&CONTENT_LENGTH);
    headers.remove(&ACCEPT_RANGES);
    weaken_etag(headers);
    response
}

/// Returns `true` if the response could be compressed if the client liked that.
fn is_eligible(response: &Response) -> bool {
    let Response { status, headers, .. } = response;
    let has_content = !status.is_informational()
        && !matches!(*status, StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT)
        && length(response) != Some(0);
    let no_transform =
        || values(headers, &CACHE_CONTROL).any(|v| list_contains(v, b"no-transform"));
    has_content
        && !is_encoded(headers)
        && !headers.contains(&CONTENT_RANGE)
        && headers.value(&CONTENT_TYPE).is_some_and(|kind| is_compressible(kind.as_bytes()))
        && !no_transform()
}

fn is_encoded(headers: &Headers) -> bool {
    headers.contains(&CONTENT_ENCODING)
}

/// Returns the length of the body, if it is known. That of a response to HEAD may be only in the
/// headers.
fn length(response: &Response) -> Option<u64> {
    match response.body.length() {
        BodyLength::Known(length) => Some(length),
        BodyLength::Unknown => None,
        BodyLength::Empty => {
            let announced = response.headers.value(&CONTENT_LENGTH);
            Some(announced.and_then(|length| parse_decimal(length.as_bytes())).unwrap_or(0))
        }
    }
}

/// Media types whose content is compressed already, or is not known.
const COMPRESSED: [&str; 15] = [
    "application/octet-stream",
    "application/zip",
    "application/gzip",
    "application/x-gzip",
    "application/zstd",
    "application/x-bzip2",
    "application/x-xz",
    "application/x-7z-compressed",
    "application/vnd.rar",
    "application/x-rar-compressed",
    "application/java-archive",
    "application/pdf",
    "application/grpc",
    "font/woff",
    "font/woff2",
];
/// The images that are not compressed.
const PLAIN_IMAGES: [&str; 4] =
    ["image/bmp", "image/svg+xml", "image/x-icon", "image/vnd.microsoft.icon"];

/// Returns `true` unless content of this type is compressed already.
fn is_compressible(content_type: &[u8]) -> bool {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    let kind = trim_ows(&content_type[..end]).to_ascii_lowercase();
    let is = |known: &&str| known.as_bytes() == kind;
    let is_medium = [&b"image/"[..], b"audio/", b"video/"].iter().any(|it| kind.starts_with(it));
    match is_medium {
        true => PLAIN_IMAGES.iter().any(is),
        // Office documents are ZIP archives.
        false => {
            !COMPRESSED.iter().any(is)
                && !kind.ends_with(b"+zip")
                && !kind.starts_with(b"application/vnd.openxmlformats-")
        }
    }
}

fn values<'a>(headers: &'a Headers, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_bytes())
}

/// Says that the response depends on `Accept-Encoding`, unless that is said already.
fn add_vary(headers: &mut Headers) {
    let is_known = |value| list_contains(value, b"accept-encoding") || list_contains(value, b"*");
    if !values(headers, &VARY).any(is_known) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Makes the entity tag a weak one (RFC 9110 section 8.8.1).
fn weaken_etag(headers: &mut Headers) {
    let Some(tag) = headers.value(&ETAG).map(HeaderValue::as_bytes) else { return };
    if !tag.starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag].concat())
    {
        headers.insert(ETAG, weak);
    }
}
