//! A body in JSON as an argument.

use serde::de::DeserializeOwned;

use crate::extract::from_request::FromRequest;
use crate::message::json::{Json, JsonError};
use crate::message::request::Request;

impl<T: DeserializeOwned> FromRequest for Json<T> {
    type Rejection = JsonError;

    async fn from_request(mut request: Request) -> Result<Self, JsonError> {
        request.json(usize::MAX).await.map(Self)
    }

    fn is_missing(request: &Request) -> bool {
        request.header("content-type").is_none() && request.parts.body.is_end()
    }
}
