//! The cookies that a client sent.

use crate::protocol::fields::HeaderLines;
use crate::protocol::head::RequestHead;
use crate::protocol::syntax::trim_ows;

impl RequestHead {
    /// Returns an iterator over the cookies, as name and value, in the order in which they were
    /// sent (RFC 6265 section 5.4). Allocates nothing.
    ///
    /// Values are returned unchanged, including quotes. A name may occur more than once. A cookie
    /// without `=`, without a name, or not in UTF-8 is left out.
    ///
    /// # Examples
    /// To set a cookie, append a `Set-Cookie` header to the response.
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
    pub fn cookies(&self) -> CookieIter<'_> {
        CookieIter { lines: self.header_lines(), rest: &[] }
    }

    /// Returns the value of the first cookie of this name. Names are case-sensitive.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// The cookies of a request, as an argument of a handler. It holds a copy of the head; see
/// [`RequestHead::cookies`] for reading them without one.
///
/// # Examples
/// ```
/// use brigade_http::{Cookies, Router, get};
///
/// async fn greet(cookies: Cookies) -> String {
///     format!("Hello, {}!", cookies.value("name").unwrap_or("stranger"))
/// }
///
/// let router = Router::new().route("/", get(greet));
/// ```
#[derive(Clone, Debug)]
pub struct Cookies {
    head: RequestHead,
}

impl Cookies {
    pub(crate) fn new(head: &RequestHead) -> Self {
        Self { head: head.clone() }
    }

    /// Returns the value of the first cookie of this name. Names are case-sensitive.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.head.cookie(name)
    }

    /// Returns an iterator over the cookies, as name and value.
    #[must_use]
    pub fn iter(&self) -> CookieIter<'_> {
        self.head.cookies()
    }
}

impl<'a> IntoIterator for &'a Cookies {
    type Item = (&'a str, &'a str);
    type IntoIter = CookieIter<'a>;

    fn into_iter(self) -> CookieIter<'a> {
        self.iter()
    }
}

/// An iterator over the cookies of a request; see [`RequestHead::cookies`].
#[derive(Clone, Debug)]
pub struct CookieIter<'a> {
    lines: HeaderLines<'a>,
    /// The rest of the current line.
    rest: &'a [u8],
}

impl<'a> Iterator for CookieIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                // Clients send one line, but proxies from HTTP/2 may send several.
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
