//! What a client sent as text, as the values it stands for: path parameters and the query.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Display};
use std::str::FromStr;

use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::head::RequestHead;

impl Request {
    /// The value of a path parameter, percent-decoded. It may hold any character then, slashes
    /// and NUL too: it is no path of a file.
    ///
    /// # Errors
    /// If the route has no parameter of this name, or what is encoded is not UTF-8.
    pub fn param_decoded(&self, name: &str) -> Result<Cow<'_, str>, ParamError> {
        let Some(value) = self.param(name) else { return Err(ParamError::new(name, Why::NoSuch)) };
        let decoded = percent_decode_str(value).decode_utf8();
        decoded.map_err(|_| ParamError::new(name, Why::NotUtf8))
    }

    /// The value of a path parameter, percent-decoded and parsed.
    ///
    /// # Errors
    /// If the route has no parameter of this name, or its value cannot be parsed: as an answer,
    /// 400 with what is wrong with it.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{ParamError, Request, Router, get};
    ///
    /// async fn square(request: Request) -> Result<String, ParamError> {
    ///     let n: u32 = request.param_as("n")?;
    ///     Ok((u64::from(n) * u64::from(n)).to_string())
    /// }
    ///
    /// let router = Router::new().route("/square/{n}", get(square));
    /// ```
    pub fn param_as<T>(&self, name: &str) -> Result<T, ParamError>
    where
        T: FromStr,
        T::Err: Display,
    {
        parse(name, &self.param_decoded(name)?)
    }
}

impl RequestHead {
    /// The names and values of the query, decoded as forms are: `+` is a space, and what is not
    /// UTF-8 is replaced by U+FFFD. Nothing, if there is no query.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// The first value of this name in the query, decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The first value of this name in the query, decoded and parsed; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be parsed: as an answer, 400 with what is wrong with it.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{ParamError, Request};
    ///
    /// async fn list(request: Request) -> Result<String, ParamError> {
    ///     let page = request.query_value_as("page")?.unwrap_or(1u32);
    ///     Ok(format!("page {page}"))
    /// }
    /// ```
    pub fn query_value_as<T>(&self, name: &str) -> Result<Option<T>, ParamError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.query_value(name).map(|value| parse(name, &value)).transpose()
    }
}

fn parse<T>(name: &str, value: &str) -> Result<T, ParamError>
where
    T: FromStr,
    T::Err: Display,
{
    value.parse().map_err(|error: T::Err| {
        let (value, reason) = (value.to_owned(), error.to_string());
        ParamError::new(name, Why::Unreadable { value, reason })
    })
}

/// A parameter of the path or the query is not what the handler takes.
///
/// As an answer it is a 400 with its text; a 500 if the handler asks for a parameter that its
/// route does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamError {
    name: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    NoSuch,
    NotUtf8,
    Unreadable { value: String, reason: String },
}

impl ParamError {
    fn new(name: &str, why: Why) -> Self {
        Self { name: name.to_owned(), why }
    }

    /// The parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.why {
            Why::NoSuch => StatusCode::INTERNAL_SERVER_ERROR,
            Why::NotUtf8 | Why::Unreadable { .. } => StatusCode::BAD_REQUEST,
        }
    }
}

impl Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, why } = self;
        match why {
            Why::NoSuch => write!(f, "the route has no parameter '{name}'"),
            Why::NotUtf8 => write!(f, "the parameter '{name}' is not in UTF-8"),
            Why::Unreadable { value, reason } => {
                write!(f, "the parameter '{name}' cannot be {value:?}: {reason}")
            }
        }
    }
}

impl Error for ParamError {}

impl IntoResponse for ParamError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), &self.to_string())
    }
}
