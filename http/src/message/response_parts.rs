//! Responses from tuples: an optional status, headers, and a body.

use std::fmt::Display;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::headers::Headers;

/// A part of a tuple that is a response: headers for it.
///
/// A tuple may begin with a status, has up to four such parts, and ends with the rest of the
/// response.
///
/// # Examples
/// ```
/// use brigade_http::{IntoResponse, Response, StatusCode, header};
///
/// async fn create() -> impl IntoResponse {
///     (StatusCode::CREATED, [(header::LOCATION, "/items/7")], "created")
/// }
/// ```
pub trait IntoResponseParts {
    /// Sets the headers of `response`.
    ///
    /// # Errors
    /// If a name or a value is not valid. The response is then a 500, and the reason is logged.
    fn into_response_parts(self, response: &mut Response) -> Result<(), InvalidHeader>;
}

/// The error when a header of a response has an invalid name or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHeader(String);

impl InvalidHeader {
    /// Creates an error with this reason.
    pub fn new(reason: impl Display) -> Self {
        Self(reason.to_string())
    }
}

impl std::fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invalid header: {}", Escaped(&self.0))
    }
}

impl std::error::Error for InvalidHeader {}

/// Sets each header, in place of any of that name.
impl<N, V, const COUNT: usize> IntoResponseParts for [(N, V); COUNT]
where
    N: TryInto<HeaderName, Error: Display>,
    V: TryInto<HeaderValue, Error: Display>,
{
    fn into_response_parts(self, response: &mut Response) -> Result<(), InvalidHeader> {
        for (name, value) in self {
            let name = name.try_into().map_err(InvalidHeader::new)?;
            let value = value.try_into();
            let value = value.map_err(|error| InvalidHeader(format!("{name}: {error}")))?;
            response.headers.insert(name, value);
        }
        Ok(())
    }
}

/// Sets the headers, each name in place of any of that name. All values that a name has in the map
/// are sent.
impl IntoResponseParts for HeaderMap {
    fn into_response_parts(self, response: &mut Response) -> Result<(), InvalidHeader> {
        response.headers.insert_all(self);
        Ok(())
    }
}

/// Sets the headers, each name in place of any of that name. All values that a name has here are
/// sent.
impl IntoResponseParts for Headers {
    fn into_response_parts(self, response: &mut Response) -> Result<(), InvalidHeader> {
        response.headers.insert_all(self.into());
        Ok(())
    }
}

/// `None` sets nothing.
impl<P: IntoResponseParts> IntoResponseParts for Option<P> {
    fn into_response_parts(self, response: &mut Response) -> Result<(), InvalidHeader> {
        self.map_or(Ok(()), |parts| parts.into_response_parts(response))
    }
}

/// Replaces the status of a response.
impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

macro_rules! tuples {
    ($($($Part:ident)*,)*) => {
        $(
            impl<$($Part: IntoResponseParts,)* R: IntoResponse> IntoResponse for ($($Part,)* R) {
                #[expect(non_snake_case, reason = "the parts have the names of their types")]
                fn into_response(self) -> Response {
                    let ($($Part,)* rest) = self;
                    let mut response = rest.into_response();
                    $(
                        if let Err(error) = $Part.into_response_parts(&mut response) {
                            return refuse(&error);
                        }
                    )*
                    response
                }
            }

            impl<$($Part: IntoResponseParts,)* R: IntoResponse> IntoResponse
                for (StatusCode, $($Part,)* R)
            {
                #[expect(non_snake_case, reason = "the parts have the names of their types")]
                fn into_response(self) -> Response {
                    let (status, $($Part,)* rest) = self;
                    let mut response = rest.into_response().with_status(status);
                    $(
                        if let Err(error) = $Part.into_response_parts(&mut response) {
                            return refuse(&error);
                        }
                    )*
                    response
                }
            }
        )*
    };
}

tuples! {
    A,
    A B,
    A B C,
    A B C D,
}

fn refuse(error: &InvalidHeader) -> Response {
    limited_log!(error, { %error }, "replaced a response that cannot be sent by a 500");
    Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "")
}
