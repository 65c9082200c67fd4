//! Serves a single file.

use std::io;
use std::path::{Path, PathBuf};

use brigade_runtime::spawn_blocking;
use http::StatusCode;

use crate::files::open::{is_no_file, open};
use crate::files::response::{Encoding, FileResponse};
use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::request::Request;
use crate::message::response::Response;

/// Returns a response with the file at `path`. The file is opened and read on the blocking pool,
/// and at most 128 KiB of it are in memory at a time.
///
/// The response has a `Content-Type` according to the file's extension (text is assumed to be
/// UTF-8), `X-Content-Type-Options: nosniff`, `Last-Modified`, and an `ETag` of the file's size,
/// its inode and the times of its last change. The `ETag` is weak while the file is so new that it
/// may change again without a new time. There is no `Last-Modified` if the time is one that tools
/// for reproducible builds set for all files, such as the first second of 1970 or 1980. Headers
/// that are added to the response, such as `Cache-Control`, are also sent with a 304.
///
/// - Conditions are evaluated in the order of RFC 9110 section 13.2.2. The response is 412 if
///   `If-Match` or `If-Unmodified-Since` fails, and 304 if `If-None-Match` or `If-Modified-Since`
///   does.
/// - A GET for one range of bytes, with a matching `If-Range` or none, gets a 206, or a 416 if the
///   range begins after the end of the file. A date in `If-Range` does not match if a tool has set
///   the time of the file, since another version could have the same one. For several ranges, and
///   for any range of an empty file, the whole file is sent, as section 14.2 allows.
/// - The response is 404 if the file does not exist, is not a regular file, or must not be read;
///   the latter is logged. After any other error it is 500, and the error is logged. If reading
///   fails after the head was sent, or the file becomes shorter, the connection is closed.
///
/// # Security
/// `path` is used unchanged. Do not build it from a request; see
/// [`Router::files`](crate::Router::files) for that.
///
/// # Examples
/// ```
/// use brigade_http::{Request, Router, get, serve_file};
///
/// let router = Router::new().route(
///     "/report",
///     get(async |request: Request| serve_file("/srv/report.pdf", &request).await),
/// );
/// ```
pub async fn serve_file(path: impl AsRef<Path>, request: &Request) -> Response {
    let path = PathBuf::from(path.as_ref());
    let head = request.head().clone();
    respond(path.clone(), move || FileResponse::new(open(&path)?, &path, Encoding::Only, &head))
        .await
}

/// Runs `prepare` on the blocking pool and returns its response, or the one for its error. `path`
/// is for the log.
pub(super) async fn respond<F>(path: PathBuf, prepare: F) -> Response
where
    F: FnOnce() -> io::Result<FileResponse> + Send + 'static,
{
    let error = match spawn_blocking(prepare).await {
        Ok(Ok(response)) => return response.into_response(),
        Ok(Err(error)) => error,
        Err(panic) => io::Error::other(panic),
    };
    if is_no_file(&error) {
        return Response::plain(StatusCode::NOT_FOUND, "");
    }
    let (path, shown) = (Escaped(path.display()), Escaped(&error));
    limited_log!(error, { %path, error = %shown }, "cannot read file");
    Response::plain(
        match error.kind() {
            io::ErrorKind::PermissionDenied => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        "",
    )
}
