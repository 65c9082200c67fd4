//! Answers from files.
//!
//! | module | |
//! | --- | --- |
//! | `version` | which version of a file there is: its entity tag and when it was changed |
//! | `conditions` | whether that version is wanted (RFC 9110 section 13) |
//! | `range` | which part of it is wanted (RFC 9110 section 14) |
//! | `answer` | the head of the answer, and the first of its body; on the blocking pool |
//! | `stream` | the rest of the body |
//! | `directory` | paths below a directory |

mod conditions;
mod directory;
mod range;
mod response;
mod stream;
mod version;

use std::io;
use std::path::{Path, PathBuf};

use brigade_runtime::spawn_blocking;
use http::StatusCode;

use crate::message::request::Request;
use crate::message::response::Response;
use response::FileAnswer;

pub use directory::Directory;

/// Answers with the file at `path`, which is opened and read on the blocking pool; no more than
/// 128 KiB of it are in memory at a time.
///
/// The answer has a `Content-Type` by the end of the file's name (text is taken to be UTF-8),
/// with `X-Content-Type-Options: nosniff`; `Last-Modified`; and an `ETag` of size and time of
/// change, which is weak while the file is so new that it may change again within the same tick
/// of its clock. Headers that are set on it afterwards, such as `Cache-Control`, are sent with
/// 304 too.
///
/// - Conditions are observed in the order of RFC 9110 section 13.2.2: 412 for `If-Match` and
///   `If-Unmodified-Since`, 304 for `If-None-Match` and `If-Modified-Since`.
/// - A GET for one range of bytes, with an `If-Range` that holds or none, is answered with 206;
///   with 416 where the range begins behind the end. Several ranges are answered with the whole
///   file, as section 14.2 allows, and so is any range of an empty file.
/// - A file that is not there, or is no regular file, is a 404; so is one that may not be read,
///   which is logged, since nobody wants it so. Other errors are logged and a 500. An error
///   midway, and a file that has become shorter, end the connection.
///
/// `path` is taken as it is: made from what a client sent, it may lead anywhere. See
/// [`Router::files`](crate::Router::files) for that.
///
/// # Examples
/// ```
/// use brigade_http::{Router, get, serve_file};
///
/// let router = Router::new().route(
///     "/report",
///     get(async |request| serve_file("/srv/report.pdf", &request).await),
/// );
/// ```
pub async fn serve_file(path: impl AsRef<Path>, request: &Request) -> Response {
    let path = PathBuf::from(path.as_ref());
    let head = request.head().clone();
    answered(path.clone(), move || FileAnswer::new(&path, &head)).await
}

/// Runs `prepare` on the blocking pool, and gives what comes of it.
async fn answered<F>(path: PathBuf, prepare: F) -> Response
where
    F: FnOnce() -> io::Result<FileAnswer> + Send + 'static,
{
    let error = match spawn_blocking(prepare).await {
        Ok(Ok(answer)) => return answer.into_response(),
        Ok(Err(error)) => error,
        Err(panic) => io::Error::other(panic),
    };
    let (is_absent, is_expected) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (true, true),
        // A name that is too long, or that holds NUL.
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => (true, true),
        io::ErrorKind::PermissionDenied => (true, false),
        _ => (false, false),
    };
    if !is_expected {
        tracing::error!(target: "brigade::http", "cannot read {}: {error}", path.display());
    }
    Response::plain(
        if is_absent { StatusCode::NOT_FOUND } else { StatusCode::INTERNAL_SERVER_ERROR },
        "",
    )
}
