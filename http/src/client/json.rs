//! JSON that a client sends and receives, by serde.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::options::COLLECT_BYTES_MAX;
use crate::client::request::ClientRequest;
use crate::client::response::ClientResponse;
use crate::message::client_error::{ClientError, ClientErrorKind};

impl ClientRequest {
    /// Sets the body to a value in JSON, and `Content-Type` to `application/json` unless it is set
    /// already.
    ///
    /// [`send`](ClientRequest::send) returns [`ClientErrorKind::Serialize`] if the value cannot be
    /// serialized, such as a map whose keys are not strings.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_http::{Client, ClientError};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize)]
    /// struct Order {
    ///     dish: &'static str,
    /// }
    ///
    /// #[derive(Deserialize)]
    /// struct Receipt {
    ///     number: u64,
    /// }
    ///
    /// async fn order(client: &Client) -> Result<u64, ClientError> {
    ///     let request = client.post("http://127.0.0.1:8080/orders").json(&Order { dish: "soup" });
    ///     let mut response = request.send().await?.error_for_status()?;
    ///     Ok(response.json::<Receipt>().await?.number)
    /// }
    /// ```
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.serialized("application/json", serde_json::to_vec(value))
    }
}

impl ClientResponse {
    /// Reads the body to its end and deserializes it, JSON of at most [`COLLECT_BYTES_MAX`] bytes,
    /// whatever `Content-Type` says.
    ///
    /// # Errors
    /// [`ClientErrorKind::Content`] if it is not JSON or does not fit the type, and those of
    /// [`ClientResponse::collect`].
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        self.json_with_limit(COLLECT_BYTES_MAX).await
    }

    /// Does what [`json`](ClientResponse::json) does, for a body of at most `limit` bytes.
    ///
    /// # Errors
    /// As for [`ClientResponse::json`].
    pub async fn json_with_limit<T: DeserializeOwned>(
        &mut self,
        limit: usize,
    ) -> Result<T, ClientError> {
        let bytes = self.collect(limit).await?;
        let value = serde_json::from_slice(&bytes);
        value.map_err(|error| self.rest.fail(ClientErrorKind::Content(error.into())))
    }
}
