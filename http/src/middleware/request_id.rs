//! A name for each request, to find it again in the logs of all who dealt with it.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use http::{HeaderName, HeaderValue};
use tracing::Instrument;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::handler::Next;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Several times a UUID; nobody has to write longer ones in their log because a client says so.
const ID_BYTES_MAX: usize = 128;

/// Gives each request an id: the one in its `X-Request-Id`, or a new one. It comes back in the
/// answer's `X-Request-Id`, is the field `id` of a span named `request` around all that happens
/// below, and is attached to the request as [`RequestId`].
///
/// A client's id is taken if it has at most 128 characters, all of them letters, digits or one of
/// `-_.:/+=`; otherwise it is replaced.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    let id = RequestId::of_client(&request).unwrap_or_else(RequestId::new);
    let span = tracing::info_span!(target: "brigade::http", "request", id = id.as_str());
    let value = id.value.clone();
    request.extensions_mut().insert(id);
    let response = next.run(request).instrument(span).await;
    response.with_header(X_REQUEST_ID, value)
}

/// The id of a request, [attached](Request::attached) to it by [`request_id`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    value: HeaderValue,
}

impl RequestId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.value.to_str().unwrap_or_default()
    }

    /// The id as a header's value, to be passed on to other services.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    fn of_client(request: &Request) -> Option<Self> {
        let id = request.header(X_REQUEST_ID.as_str())?;
        let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        let is_usable = (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_usual);
        Some(Self { value: HeaderValue::from_bytes(id).ok().filter(|_| is_usable)? })
    }

    /// A new id: a random number of this thread, and how many there were of it.
    fn new() -> Self {
        thread_local! {
            static LAST: Cell<(u64, u64)> = Cell::new((random(), 0));
        }
        let (thread, count) = LAST.get();
        LAST.set((thread, count.wrapping_add(1)));
        let text = format!("{thread:016x}-{count:x}");
        Self { value: HeaderValue::try_from(text).expect("digits and a hyphen") }
    }
}

/// The standard library's maps are seeded by the system, afresh for each thread.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
