//! The cookies that a client sent.

use crate::protocol::fields::HeaderLines;
use crate::protocol::head::RequestHead;
use crate::protocol::syntax::trim_ows;

impl RequestHead {
    /// The cookies, as name and value, in the order in which they were sent (RFC 6265 section
    /// 5.4). Allocates nothing.
    ///
    /// A value is given as it stands, with its quotes if there are any: nothing else says where
    /// a client keeps what. A name may come twice. What is no `name=value`, or is not in UTF-8,
    /// is left out.
    ///
    /// To set one, append a `Set-Cookie` header to the answer:
    ///
    /// ```
    /// use brigade_http::{IntoResponse, Request, Response};
    /// use http::{HeaderValue, header::SET_COOKIE};
    ///
    /// async fn greet(request: Request) -> Response {
    ///     if request.cookie("seen").is_some() {
    ///         return "Welcome back!".into_response();
    ///     }
    ///     let mut response = "Welcome!".into_response();
    ///     let cookie = "seen=1; Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=Lax";
    ///     response.headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
    ///     response
    /// }
    /// ```
    #[must_use]
    pub fn cookies(&self) -> Cookies<'_> {
        Cookies { lines: self.header_lines(), rest: &[] }
    }

    /// The value of the first cookie of this name. Names are compared as they are, with case.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Goes through the cookies of a request; see [`RequestHead::cookies`].
#[derive(Clone, Debug)]
pub struct Cookies<'a> {
    lines: HeaderLines<'a>,
    /// What is left of the line that was begun.
    rest: &'a [u8],
}

impl<'a> Iterator for Cookies<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                // A client sends one line; a proxy that speaks HTTP/2 on its other side, several.
                let is_cookie = |(name, _): &(&[u8], _)| name.eq_ignore_ascii_case(b"cookie");
                self.rest = self.lines.find(is_cookie)?.1;
            }
            let end = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
            let (pair, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            if let Some(cookie) = parse(pair) {
                return Some(cookie);
            }
        }
    }
}

fn parse(pair: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = std::str::from_utf8(trim_ows(pair)).ok()?.split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim_start());
    (!name.is_empty()).then_some((name, value))
}
