//! The parts of the head as arguments.

use std::convert::Infallible;

use http::{HeaderMap, Method, Uri, Version};

use crate::extract::from_request::FromRequestParts;
use crate::message::cookies::Cookies;
use crate::message::request::Request;
use crate::protocol::head::RequestHead;

macro_rules! parts {
    ($($(#[$doc:meta])* $Type:ty = |$request:ident| $value:expr;)*) => {
        $(
            $(#[$doc])*
            impl FromRequestParts for $Type {
                type Rejection = Infallible;

                async fn from_request_parts($request: &mut Request) -> Result<Self, Infallible> {
                    Ok($value)
                }
            }
        )*
    };
}

parts! {
    /// A copy of the head.
    RequestHead = |request| request.head().clone();
    /// A copy of the headers.
    HeaderMap = |request| request.head().fields.to_map();
    Method = |request| request.method().clone();
    Uri = |request| request.uri();
    Version = |request| request.version();
    /// A copy of the cookies.
    Cookies = |request| Cookies::new(request.head());
}
