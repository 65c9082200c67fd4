//! The ten routes as one hyper service, for any runtime.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use peer_common::{HELLO, PIECE, Route, TEXT};

/// Returns the response to a request; `sleep` is that of the runtime.
///
/// # Errors
/// If the body of an upload ends early.
pub async fn respond<S: Future<Output = ()>>(
    request: Request<Incoming>,
    sleep: impl FnOnce(Duration) -> S,
) -> Result<Response<ResponseBody>, hyper::Error> {
    let path = request.uri().path();
    let body = match Route::of(path) {
        Route::Hello => ResponseBody::text(HELLO),
        Route::Delay(time) => {
            sleep(time).await;
            ResponseBody::text(HELLO)
        }
        Route::Block(time) => {
            std::thread::sleep(time);
            ResponseBody::text(HELLO)
        }
        Route::User(user) | Route::Posts(user) => ResponseBody::text(user.to_owned()),
        Route::Post(user, post) => ResponseBody::text(format!("{user}/{post}")),
        Route::Issue(org, repo, issue) => ResponseBody::text(format!("{org}/{repo}/{issue}")),
        Route::Upload => ResponseBody::text(received(request.into_body()).await?.to_string()),
        Route::Download(bytes) => ResponseBody::Zeros { left: bytes, sized: true },
        Route::Stream(bytes) => ResponseBody::Zeros { left: bytes, sized: false },
        Route::Unknown => {
            let mut response = Response::new(ResponseBody::text("not found"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    Ok(response)
}

/// Reads a body to its end and returns its length in bytes.
async fn received(mut body: Incoming) -> Result<u64, hyper::Error> {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(total)
}

/// The body of a response.
#[derive(Debug)]
pub enum ResponseBody {
    /// Text, sent at once.
    Text(Bytes),
    /// Zeros, sent piece by piece.
    Zeros {
        /// Bytes still to be sent.
        left: u64,
        /// Whether the response has a Content-Length; otherwise it is chunked.
        sized: bool,
    },
}

impl ResponseBody {
    fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Text(text) => std::mem::take(text),
            Self::Zeros { left, .. } => {
                let size = PIECE.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= size as u64;
                Bytes::from_static(&PIECE[..size])
            }
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Zeros { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Zeros { left, sized: true } => SizeHint::with_exact(*left),
            Self::Zeros { .. } => SizeHint::new(),
        }
    }
}
