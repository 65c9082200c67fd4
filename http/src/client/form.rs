//! Queries and forms that a client sends, serialized by serde.

use serde::Serialize;

use crate::client::request::ClientRequest;
use crate::client::target::Target;
use crate::message::client_error::ClientErrorKind;

impl ClientRequest {
    /// Appends the fields of a value to the query of the URL, encoded like a form. A field of type
    /// `Vec` repeats its name, and one that is `None` is left out.
    ///
    /// [`send`](ClientRequest::send) returns [`ClientErrorKind::Serialize`] if the value is not a
    /// map, a struct or a list of pairs, or a field of it is one of these, a tuple or an array.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: brigade_http::Client) -> Result<(), brigade_http::ClientError> {
    /// // GET /search?lang=en&q=two+words&page=2
    /// let request = client.get("http://127.0.0.1:8080/search?lang=en");
    /// let response = request.query(&[("q", "two words"), ("page", "2")]).send().await?;
    /// # drop(response);
    /// # Ok(())
    /// # }
    /// ```
    pub fn query<T: Serialize + ?Sized>(mut self, fields: &T) -> Self {
        match (serde_html_form::to_string(fields), &mut self.target) {
            (Ok(query), Ok(target)) => target.append_query(&query),
            (Ok(_), Err(_)) => {}
            (Err(error), _) => self.fail(ClientErrorKind::Serialize(error.into())),
        }
        self
    }

    /// Sets the body to a form with the fields of a value, and `Content-Type` to
    /// `application/x-www-form-urlencoded` unless it is set already. Serializes as
    /// [`query`](ClientRequest::query) does.
    pub fn form<T: Serialize + ?Sized>(self, fields: &T) -> Self {
        self.serialized("application/x-www-form-urlencoded", serde_html_form::to_string(fields))
    }
}

impl Target {
    /// Appends pairs to the query, which begins with them if there is none. They are encoded.
    fn append_query(&mut self, pairs: &str) {
        if pairs.is_empty() {
            return;
        }
        let separator = match self.path.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        self.path.push_str(separator);
        self.path.push_str(pairs);
    }
}
