//! The head of an answer from a file, and the first of its body. All of this blocks.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::files::conditions::{allow_range, evaluate};
use crate::files::range::Wanted;
use crate::files::stream::{FileStream, read_chunk};
use crate::files::version::Version;
use crate::message::body::Body;
use crate::message::response::Response;
use crate::protocol::head::RequestHead;
use crate::protocol::headers::Headers;

/// An answer on its way from the blocking pool to the loop.
pub(super) struct FileAnswer {
    status: StatusCode,
    headers: Headers,
    content: Content,
}

enum Content {
    None,
    /// So much of the file, of which the first is there.
    Part {
        file: File,
        first: Bytes,
        length: u64,
    },
}

impl FileAnswer {
    /// Opens the file, and decides what to send of it.
    pub(super) fn new(path: &Path, head: &RequestHead) -> io::Result<Self> {
        // Before it is opened, since to open a pipe is to wait for its other end.
        require_file(&fs::metadata(path)?)?;
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        require_file(&metadata)?;
        let version = Version::new(&metadata, SystemTime::now());
        if let Some(status) = evaluate(head, &version) {
            return Ok(Self { status, headers: validators(&version), content: Content::None });
        }
        let is_head = *head.method() == Method::HEAD;
        match wanted(head, &version) {
            Wanted::Whole => {
                let headers = described(path, &version);
                Self::with_content(StatusCode::OK, headers, file, 0..version.length, is_head)
            }
            Wanted::Part(part) => {
                let mut headers = described(path, &version);
                let (last, length) = (part.end - 1, version.length);
                let text = format!("bytes {}-{last}/{length}", part.start);
                insert(&mut headers, CONTENT_RANGE, &text);
                Self::with_content(StatusCode::PARTIAL_CONTENT, headers, file, part, is_head)
            }
            Wanted::Nothing => {
                let mut headers = Headers::new();
                insert(&mut headers, CONTENT_RANGE, &format!("bytes */{}", version.length));
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                Ok(Self { status, headers, content: Content::None })
            }
        }
    }

    /// A redirect to the same path with a slash at its end.
    pub(super) fn with_slash(head: &RequestHead) -> Self {
        let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut headers = Headers::new();
        insert(&mut headers, LOCATION, &format!("{}/{query}", head.path()));
        Self { status: StatusCode::PERMANENT_REDIRECT, headers, content: Content::None }
    }

    fn with_content(
        status: StatusCode,
        headers: Headers,
        mut file: File,
        part: Range<u64>,
        is_head: bool,
    ) -> io::Result<Self> {
        let length = part.end - part.start;
        if part.start > 0 {
            file.seek(SeekFrom::Start(part.start))?;
        }
        let first = match is_head {
            true => Bytes::new(),
            false => read_chunk(&file, length)?,
        };
        Ok(Self { status, headers, content: Content::Part { file, first, length } })
    }

    pub(super) fn into_response(self) -> Response {
        let body = match self.content {
            Content::None => Body::empty(),
            Content::Part { first, length, .. } if first.len() as u64 == length => first.into(),
            Content::Part { file, first, length } => {
                Body::stream_with_length(length, FileStream::new(file, first, length))
            }
        };
        Response { status: self.status, headers: self.headers, body }
    }
}

/// Only GET has ranges (RFC 9110 section 14.2).
fn wanted(head: &RequestHead, version: &Version) -> Wanted {
    match head.header("range") {
        Some(range) if *head.method() == Method::GET && allow_range(head, version) => {
            Wanted::parse(range, version.length)
        }
        _ => Wanted::Whole,
    }
}

fn require_file(metadata: &fs::Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What tells which version it is: all that a 304 needs (RFC 9110 section 15.4.5).
fn validators(version: &Version) -> Headers {
    let mut headers = Headers::new();
    insert(&mut headers, ETAG, &version.etag);
    if let Some(modified) = version.modified {
        insert(&mut headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    headers
}

fn described(path: &Path, version: &Version) -> Headers {
    let mut headers = Headers::new();
    insert(&mut headers, CONTENT_TYPE, &media_type(path));
    headers.extend(validators(version));
    headers.append(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}

fn media_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let charset = if guess.type_() == "text" { "; charset=utf-8" } else { "" };
    format!("{}{charset}", guess.essence_str())
}

/// Of a text made here, which is always one that a header may have.
fn insert(headers: &mut Headers, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
