//! Serves a single file.

use std::io;
use std::path::{Path, PathBuf};

use brigade_runtime::spawn_file_read;
use http::{Method, StatusCode};

use crate::files::kernel::open_now;
use crate::files::open::{OpenFile, is_no_file, open};
use crate::files::response::{Encoding, FileResponse};
use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::request::Request;
use crate::message::response::Response;

/// Returns a response with the file at `path`. What the system has in its cache is opened and read
/// on the loop, the rest on threads. At most 128 KiB of the file are in memory at a time, and those
/// that the connection has still to write.
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
    let path = path.as_ref();
    let now = || {
        let file = open_now(path).ok_or(io::ErrorKind::WouldBlock)?;
        Ok(FileResponse::new(OpenFile::new(file)?, path, Encoding::Only, request.head()))
    };
    let blocking = || {
        let (path, head) = (path.to_owned(), request.head().clone());
        move || Ok(FileResponse::new(open(&path)?, &path, Encoding::Only, &head))
    };
    respond(request, || path.to_owned(), now(), blocking).await
}

/// Returns the response that was prepared on the loop, or the one for its error. After a
/// `WouldBlock`, runs what `blocking` returns on a thread to prepare it. `path` returns the path
/// for the log.
pub(super) async fn respond<F>(
    request: &Request,
    path: impl FnOnce() -> PathBuf,
    prepared: io::Result<FileResponse>,
    blocking: impl FnOnce() -> F,
) -> Response
where
    F: FnOnce() -> io::Result<FileResponse> + Send + 'static,
{
    let has_content = *request.head().method() != Method::HEAD;
    let is_read = |response: &mut FileResponse| match has_content {
        true => response.read_now(),
        false => Ok(true),
    };
    let prepared = match prepared {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let prepare = blocking();
            on_thread(move || {
                let mut response = prepare()?;
                if has_content {
                    response.read()?;
                }
                Ok(response)
            })
            .await
        }
        Ok(mut response) => match is_read(&mut response) {
            Ok(true) => Ok(response),
            Ok(false) => on_thread(move || response.read().map(|()| response)).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match prepared {
        Ok(response) => response.into_response(),
        Err(error) => failed(&path(), &error),
    }
}

async fn on_thread<F>(work: F) -> io::Result<FileResponse>
where
    F: FnOnce() -> io::Result<FileResponse> + Send + 'static,
{
    spawn_file_read(work).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

/// Returns the response for a file that cannot be served.
fn failed(path: &Path, error: &io::Error) -> Response {
    if is_no_file(error) {
        return Response::plain(StatusCode::NOT_FOUND, "");
    }
    let (path, shown) = (Escaped(path.display()), Escaped(error));
    limited_log!(error, { %path, error = %shown }, "cannot read file");
    Response::plain(
        match error.kind() {
            io::ErrorKind::PermissionDenied => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        "",
    )
}
