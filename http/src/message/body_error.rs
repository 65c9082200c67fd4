//! The error of reading a body.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::protocol::error::{EncodeError, ProtocolError};

/// Any error of a body or a handler.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The error when a body cannot be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The client violated the protocol or a limit, or the connection ended before the body did.
    Protocol(ProtocolError),
    /// There is no more to read: the connection is closed, the response was sent without reading
    /// the body, or reading it has failed before.
    Gone,
    /// The stream that the body is made of failed with this error.
    Stream(BoxError),
    /// The stream that the body is made of does not have the announced length.
    Length(EncodeError),
    /// The body cannot be decompressed: it is not what its `Content-Encoding` says.
    Coding(io::Error),
}

impl BodyError {
    /// Returns the status of the response to this error.
    ///
    /// The error of a stream has the status of the `BodyError` that caused it, so that the errors
    /// of a client stay what they are if middleware wraps the body of the request. Other errors of
    /// streams are those of the application: a 500.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Protocol(error) => error.status(),
            Self::Gone | Self::Coding(_) => StatusCode::BAD_REQUEST,
            Self::Stream(error) => {
                find(&**error).map_or(StatusCode::INTERNAL_SERVER_ERROR, Self::status)
            }
            Self::Length(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns what another attempt to read the body returns.
    pub(crate) const fn again(&self) -> Self {
        match self {
            Self::Protocol(error) => Self::Protocol(*error),
            _ => Self::Gone,
        }
    }

    /// Returns the error that a stream with this error ends with.
    pub(crate) fn into_cause(self) -> BoxError {
        match self {
            Self::Stream(error) => error,
            error => error.into(),
        }
    }
}

/// Returns the error of a body that is not a stream in the chain of causes of `error`.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a BodyError> {
    let mut error = Some(error);
    while let Some(cause) = error {
        match cause.downcast_ref() {
            None | Some(BodyError::Stream(_)) => {}
            found => return found,
        }
        // The source of an `io::Error` is that of the error in it.
        let within = cause.downcast_ref().and_then(io::Error::get_ref);
        error = within.map(|within| within as _).or_else(|| cause.source());
    }
    None
}

/// The causes of an error of a stream are not shown, since a client may see the text: they are its
/// [source](Error::source).
impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot read the body: ")?;
        self.fmt_reason(f)
    }
}

impl BodyError {
    fn fmt_reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => fmt::Display::fmt(error, f),
            Self::Gone => f.write_str("the connection is closed, or reading has failed before"),
            Self::Stream(error) => match find(&**error) {
                Some(cause) => cause.fmt_reason(f),
                None => f.write_str("its stream failed"),
            },
            Self::Length(error) => fmt::Display::fmt(error, f),
            Self::Coding(_) => f.write_str("it is not what its Content-Encoding says"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stream(error) => Some(&**error),
            Self::Coding(error) => Some(error),
            Self::Protocol(_) | Self::Gone | Self::Length(_) => None,
        }
    }
}

/// Keeps an error that is a [`BodyError`] or a [`ProtocolError`] already.
impl From<BoxError> for BodyError {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => match error.downcast::<ProtocolError>() {
                Ok(error) => Self::Protocol(*error),
                Err(error) => Self::Stream(error),
            },
        }
    }
}

impl From<ProtocolError> for BodyError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<EncodeError> for BodyError {
    fn from(error: EncodeError) -> Self {
        Self::Length(error)
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_client_keeps_its_status_however_often_it_is_wrapped() {
        let too_large = || BodyError::Protocol(ProtocolError::BodyTooLarge);
        let boxed: BoxError = too_large().into();
        assert!(matches!(BodyError::from(boxed), BodyError::Protocol(ProtocolError::BodyTooLarge)));
        let boxed: BoxError = ProtocolError::BodyTimeout.into();
        assert_eq!(BodyError::from(boxed).status(), StatusCode::REQUEST_TIMEOUT);

        let wrapped = BodyError::from(BoxError::from(io::Error::from(too_large())));
        assert!(matches!(wrapped, BodyError::Stream(_)));
        let again = BodyError::Stream(io::Error::other(io::Error::from(wrapped)).into());
        assert_eq!(again.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(again.to_string(), too_large().to_string());
    }

    #[test]
    fn any_other_error_of_a_stream_is_that_of_the_application() {
        let error = BodyError::from(BoxError::from("the password is 1234"));
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(error.to_string(), "cannot read the body: its stream failed");
        assert_eq!(error.source().unwrap().to_string(), "the password is 1234");
    }
}
