//! An id for each request, for finding it in the logs of all services that handle it.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use http::{HeaderName, HeaderValue};
use tracing::Instrument;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::endpoint::Next;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Several times the length of a UUID. A client must not fill the log with longer ones.
const ID_BYTES_MAX: usize = 128;

/// Gives each request an id: the one in its `X-Request-Id`, or a new one. The id is sent in the
/// `X-Request-Id` of the response, is the field `id` of a span named `request` around the handler
/// and the inner layers, and is in the [extensions](Request::extensions) of the request as a
/// [`RequestId`].
///
/// An id of the client is used if it has 1 to 128 characters, all of them letters, digits or one of
/// `-_.:/+=`. Otherwise it is replaced.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    let id = RequestId::from_client(&request).unwrap_or_else(RequestId::new);
    let span = tracing::info_span!(target: "brigade::http", "request", id = id.as_str());
    let value = id.value.clone();
    request.extensions_mut().insert(id);
    let response = next.run(request).instrument(span).await;
    response.with_header(X_REQUEST_ID, value)
}

/// The id of a request, which [`request_id`] puts into its [extensions](Request::extensions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    value: HeaderValue,
}

impl RequestId {
    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.value.to_str().unwrap_or_default()
    }

    /// Returns the id as a header value, for passing it on to other services.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// Returns the id that the client has set, if it is acceptable.
    fn from_client(request: &Request) -> Option<Self> {
        let id = request.header(X_REQUEST_ID.as_str())?;
        let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        let is_usable = (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_usual);
        Some(Self { value: HeaderValue::from_bytes(id).ok().filter(|_| is_usable)? })
    }

    /// Creates an id from a random number of this thread and a counter.
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

/// Returns a random number. The standard library seeds each thread's maps from the system.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
