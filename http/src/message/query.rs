//! The query of a request, decoded and parsed.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use crate::message::param_error::{ParamError, parse};
use crate::protocol::head::RequestHead;

impl RequestHead {
    /// Returns an iterator over the names and values of the query. They are decoded like forms: `+`
    /// is a space, and invalid UTF-8 is replaced by U+FFFD. It is empty if there is no query.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// Returns the first value of this name in the query, decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Returns the first value of this name in the query, decoded and parsed, or `None` if there is
    /// none.
    ///
    /// # Errors
    /// If the value cannot be parsed. As a response that is a 400 with the reason.
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
