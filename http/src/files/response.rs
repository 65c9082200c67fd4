//! The head of a response from a file, and the first chunk of its body.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::files::conditions::{allow_range, evaluate};
use crate::files::open::{OpenFile, Source};
use crate::files::range::Selection;
use crate::files::stream::{FileStream, read_chunk, read_chunk_now, window};
use crate::files::version::Version;
use crate::message::body::Body;
use crate::message::content_coding::ContentCoding;
use crate::message::response::Response;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::head::RequestHead;
use crate::protocol::headers::Headers;

/// A response that is prepared on the loop, or on a thread where that may wait, and sent by the
/// loop.
pub(super) struct FileResponse {
    status: StatusCode,
    headers: Headers,
    content: Content,
}

/// Whether the content is compressed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoding {
    /// It is not, for any client.
    Only,
    /// It is not for this client, and may be for another one.
    Plain,
    Coded(ContentCoding),
}

enum Content {
    None,
    Memory(Bytes),
    /// Bytes of the file: `first` has been read, `left` follows.
    Part {
        file: File,
        first: Bytes,
        left: Range<u64>,
        /// The bytes of `left` before this offset are known to be in the page cache.
        cached_until: u64,
    },
}

impl FileResponse {
    /// Decides what to send of a file, whose type is that of `path`.
    pub(super) fn new(
        opened: OpenFile,
        path: &Path,
        encoding: Encoding,
        head: &RequestHead,
    ) -> Self {
        let OpenFile { source, metadata } = opened;
        let version = Version::new(&metadata, SystemTime::now());
        if let Some(status) = evaluate(head, &version) {
            return Self {
                status,
                headers: validators(&version, encoding),
                content: Content::None,
            };
        }
        match selection(head, &version) {
            Selection::Whole => {
                let headers = content_headers(path, &version, encoding);
                Self::with_content(StatusCode::OK, headers, source, 0..version.length)
            }
            Selection::Part(part) => {
                let mut headers = content_headers(path, &version, encoding);
                let (last, length) = (part.end - 1, version.length);
                let text = format!("bytes {}-{last}/{length}", part.start);
                insert(&mut headers, CONTENT_RANGE, &text);
                Self::with_content(StatusCode::PARTIAL_CONTENT, headers, source, part)
            }
            Selection::Nothing => {
                let mut headers = Headers::new();
                insert(&mut headers, CONTENT_RANGE, &format!("bytes */{}", version.length));
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                Self { status, headers, content: Content::None }
            }
        }
    }

    /// Returns a redirect to the same path with a slash at the end.
    pub(super) fn redirect_to_slash(head: &RequestHead) -> Self {
        let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut headers = Headers::new();
        // Browsers take a backslash for a slash, and two slashes for the start of a host.
        let path = head.path().replace('\\', "%5C");
        insert(&mut headers, LOCATION, &format!("{path}/{query}"));
        Self { status: StatusCode::PERMANENT_REDIRECT, headers, content: Content::None }
    }

    fn with_content(
        status: StatusCode,
        headers: Headers,
        source: Source,
        left: Range<u64>,
    ) -> Self {
        let content = match source {
            Source::File(file) => {
                Content::Part { file, first: Bytes::new(), left, cached_until: 0 }
            }
            Source::Memory(all) => {
                Content::Memory(all.slice(left.start as usize..left.end as usize))
            }
        };
        Self { status, headers, content }
    }

    /// Reads the first chunk, unless that may wait. Returns `true` if there is nothing to wait for.
    ///
    /// # Errors
    /// Those of [`read_chunk_now`].
    pub(super) fn read_now(&mut self) -> io::Result<bool> {
        if let Content::Part { file, first, left, cached_until } = &mut self.content
            && !left.is_empty()
        {
            if let Some(window) = window(file, left, 0) {
                *cached_until = window.end;
                return Ok(true);
            }
            let Some(chunk) = read_chunk_now(file, left)? else { return Ok(false) };
            left.start += chunk.len() as u64;
            *first = chunk;
        }
        Ok(true)
    }

    /// Reads the first chunk. Blocks.
    ///
    /// # Errors
    /// Those of [`read_chunk`].
    pub(super) fn read(&mut self) -> io::Result<()> {
        if let Content::Part { file, first, left, .. } = &mut self.content {
            *first = read_chunk(file, left)?;
            left.start += first.len() as u64;
        }
        Ok(())
    }

    /// Converts the prepared response, whose body may be a stream.
    pub(super) fn into_response(self) -> Response {
        let body = match self.content {
            Content::None => Body::empty(),
            Content::Memory(bytes) => bytes.into(),
            Content::Part { first, left, .. } if left.is_empty() => first.into(),
            Content::Part { file, first, left, cached_until } => {
                let length = first.len() as u64 + left.end - left.start;
                let source = Box::pin(FileStream::new(file, first, left, cached_until));
                Body::of_source(source, BodyLength::Known(length))
            }
        };
        Response { status: self.status, headers: self.headers, body }
    }
}

/// Returns the part of the file to send. Only GET has ranges (RFC 9110 section 14.2).
fn selection(head: &RequestHead, version: &Version) -> Selection {
    match head.header("range") {
        Some(range) if *head.method() == Method::GET && allow_range(head, version) => {
            Selection::parse(range, version.length)
        }
        _ => Selection::Whole,
    }
}

/// Returns the headers that identify the version, which a 304 has too (RFC 9110 section 15.4.5).
fn validators(version: &Version, encoding: Encoding) -> Headers {
    let mut headers = Headers::new();
    insert(&mut headers, ETAG, &version.etag);
    if let Some(modified) = version.modified {
        insert(&mut headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    if !matches!(encoding, Encoding::Only) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    headers
}

/// Returns the headers of a response with content.
fn content_headers(path: &Path, version: &Version, encoding: Encoding) -> Headers {
    let mut headers = Headers::new();
    insert(&mut headers, CONTENT_TYPE, &media_type(path));
    if let Encoding::Coded(coding) = encoding {
        headers.append(CONTENT_ENCODING, coding.value());
    }
    headers.extend(validators(version, encoding));
    headers.append(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}

fn media_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let charset = if guess.type_() == "text" { "; charset=utf-8" } else { "" };
    format!("{}{charset}", guess.essence_str())
}

/// Sets a header. The values from this file are always valid.
fn insert(headers: &mut Headers, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
