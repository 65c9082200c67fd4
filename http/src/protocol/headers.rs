//! The headers of a message to send: a list in the order in which they were set.
//!
//! Most responses have one or two headers, for which a hash map is not worth its cost. The first
//! one is kept in place without an allocation, further ones in a vector.

// std
use std::{fmt, iter, mem, option, slice};

// crates
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue};

// ours
use crate::protocol::error::EncodeError;
use crate::protocol::syntax::list_contains;

type Line = (HeaderName, HeaderValue);

/// The headers of a message to send, in the order in which they were set. Names may repeat.
///
/// # Examples
/// ```
/// use brigade_http::{Headers, HeaderValue, header};
///
/// let mut headers = Headers::new();
/// headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
/// headers.append(header::SET_COOKIE, HeaderValue::from_static("a=1"));
/// headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
/// assert_eq!(headers.len(), 3);
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// The first header. If there is none, `rest` is empty.
    first: Option<Line>,
    rest: Vec<Line>,
}

impl Headers {
    /// Creates an empty list. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    /// Creates a list of one header. Allocates nothing.
    #[must_use]
    pub const fn one(name: HeaderName, value: HeaderValue) -> Self {
        Self { first: Some((name, value)), rest: Vec::new() }
    }

    /// Sets a header. Replaces the first one of this name in its place and removes the others, or
    /// appends it if there is none.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let Some(at) = self.iter().position(|(known, _)| *known == name) else {
            return self.append(name, value);
        };
        match (at, &mut self.first) {
            (0, Some(first)) => first.1 = value,
            _ => self.rest[at - 1].1 = value,
        }
        let mut index = 0;
        self.rest.retain(|(known, _)| {
            index += 1;
            index <= at || *known != name
        });
    }

    /// Sets a header as [`insert`](Self::insert) does, from text.
    ///
    /// # Errors
    /// [`EncodeError::Header`] if `name` is not a token or `value` contains a control character.
    pub fn try_insert(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let name = HeaderName::try_from(name).map_err(|_| EncodeError::Header)?;
        let value = HeaderValue::try_from(value).map_err(|_| EncodeError::Header)?;
        self.insert(name, value);
        Ok(())
    }

    /// Adds a header after all others, even if there is one of this name.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        if self.first.is_none() {
            self.first = Some((name, value));
        } else {
            self.rest.push((name, value));
        }
    }

    /// Sets all headers of a map, each name in place of any of that name. All values that a name
    /// has in the map are kept.
    pub fn insert_all(&mut self, map: HeaderMap) {
        let was_empty = self.is_empty();
        let mut last_name = None;
        // A map gives each name once, with the first of its values.
        for (name, value) in map {
            match (name, &last_name) {
                (Some(name), _) => {
                    last_name = Some(name.clone());
                    if was_empty {
                        self.append(name, value);
                    } else {
                        self.insert(name, value);
                    }
                }
                (None, Some(name)) => self.append(name.clone(), value),
                (None, None) => {}
            }
        }
    }

    /// Removes all headers of this name. Returns `true` if there were any.
    pub fn remove(&mut self, name: &HeaderName) -> bool {
        let before = self.len();
        self.rest.retain(|(known, _)| known != name);
        if self.first.as_ref().is_some_and(|(known, _)| known == name) {
            self.first = (!self.rest.is_empty()).then(|| self.rest.remove(0));
        }
        self.len() != before
    }

    /// Removes the headers that are meant for one connection only, so that an intermediary does not
    /// forward them (RFC 9110 section 7.6.1): `Connection`, those that it names, `Keep-Alive`,
    /// `Proxy-Authenticate`, `Proxy-Authorization`, `Proxy-Connection`, `TE`, `Transfer-Encoding`
    /// and `Upgrade`. `Trailer` stays, since trailers are forwarded.
    ///
    /// Add headers of your own, such as `X-Forwarded-For`, after this: a client can name any header
    /// in `Connection`.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::Headers;
    ///
    /// let mut headers = Headers::new();
    /// headers.try_insert("connection", "close, x-hop")?;
    /// headers.try_insert("x-hop", "1")?;
    /// headers.try_insert("accept", "*/*")?;
    /// headers.remove_hop_by_hop();
    /// assert_eq!(headers.len(), 1);
    /// # Ok::<_, brigade_http::EncodeError>(())
    /// ```
    pub fn remove_hop_by_hop(&mut self) {
        let options: Vec<HeaderValue> = self
            .iter()
            .filter(|(name, _)| *name == CONNECTION)
            .map(|(_, value)| value.clone())
            .collect();
        let is_named = |name: &HeaderName| {
            let name = name.as_str().as_bytes();
            options.iter().any(|options| list_contains(options.as_bytes(), name))
        };
        let all = mem::take(self).into_iter();
        self.extend(all.filter(|(name, _)| !is_hop_by_hop(name) && !is_named(name)));
    }

    /// Returns the value of the first header of this name.
    #[must_use]
    pub fn value(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns `true` if there is a header of this name.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.value(name).is_some()
    }

    /// Returns an iterator over the headers in the order in which they are sent.
    #[must_use]
    pub fn iter(&self) -> HeadersIter<'_> {
        HeadersIter { lines: self.first.iter().chain(&self.rest) }
    }

    /// Returns the number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Returns `true` if there are no headers.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Removes all headers, and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.first = None;
        self.rest.clear();
    }
}

/// Returns `true` for the names that RFC 9110 section 7.6.1 lists, and those of proxy
/// authentication, which is between two neighbours as well (section 11.7).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl Extend<(HeaderName, HeaderValue)> for Headers {
    fn extend<I: IntoIterator<Item = Line>>(&mut self, lines: I) {
        for (name, value) in lines {
            self.append(name, value);
        }
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Headers {
    fn from_iter<I: IntoIterator<Item = Line>>(lines: I) -> Self {
        let mut headers = Self::new();
        headers.extend(lines);
        headers
    }
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        let mut headers = Self::new();
        headers.insert_all(map);
        headers
    }
}

impl From<Headers> for HeaderMap {
    fn from(headers: Headers) -> Self {
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            map.append(name, value);
        }
        map
    }
}

/// An iterator over [`Headers`]; see [`Headers::iter`].
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    lines: iter::Chain<option::Iter<'a, Line>, slice::Iter<'a, Line>>,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a HeaderName, &'a HeaderValue);

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next().map(|(name, value)| (name, value))
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

impl IntoIterator for Headers {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = iter::Chain<option::IntoIter<Line>, std::vec::IntoIter<Line>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, SERVER, SET_COOKIE};

    fn list(headers: &Headers) -> String {
        let lines =
            headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        lines.collect::<Vec<_>>().join(" ")
    }

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    #[test]
    fn insert_replaces_the_first_header_of_a_name_and_removes_the_others() {
        let mut headers = Headers::new();
        for name in [SET_COOKIE, SERVER, SET_COOKIE, ACCEPT, SET_COOKIE] {
            headers.append(name, value("1"));
        }
        headers.insert(SERVER, value("2"));
        assert_eq!(list(&headers), "set-cookie=1 server=2 set-cookie=1 accept=1 set-cookie=1");
        headers.insert(SET_COOKIE, value("3"));
        assert_eq!(list(&headers), "set-cookie=3 server=2 accept=1");
        assert!(headers.remove(&SET_COOKIE) && !headers.contains(&SET_COOKIE));
        assert_eq!((list(&headers).as_str(), headers.len()), ("server=2 accept=1", 2));
    }

    #[test]
    fn removing_the_first_header_keeps_the_order_of_the_others() {
        let mut headers = Headers::one(SERVER, value("1"));
        headers.append(ACCEPT, value("2"));
        assert!(headers.remove(&SERVER) && !headers.is_empty());
        headers.append(SERVER, value("3"));
        assert_eq!(list(&headers), "accept=2 server=3");
        assert!(headers.remove(&ACCEPT) && headers.remove(&SERVER) && headers.is_empty());
        assert!(!headers.remove(&SERVER));
        headers.append(SERVER, value("4"));
        headers.append(SERVER, value("5"));
        headers.clear();
        assert_eq!((headers.len(), headers.iter().count()), (0, 0));
    }

    #[test]
    fn headers_survive_the_conversion_to_a_map_and_back() {
        let mut headers = Headers::new();
        headers.append(SET_COOKIE, value("a"));
        headers.append(SET_COOKIE, value("b"));
        let again = Headers::from(HeaderMap::from(headers));
        assert_eq!(list(&again), "set-cookie=a set-cookie=b");
    }

    #[test]
    fn a_map_replaces_its_names_with_all_of_its_values() {
        let mut headers = Headers::new();
        for (name, text) in [(SET_COOKIE, "old"), (ACCEPT, "1"), (SET_COOKIE, "old")] {
            headers.append(name, value(text));
        }
        let mut map = HeaderMap::new();
        for (name, text) in [(SET_COOKIE, "a"), (SERVER, "s"), (SET_COOKIE, "b"), (SET_COOKIE, "c")]
        {
            map.append(name, value(text));
        }
        headers.insert_all(map);
        let cookies: Vec<_> = list(&headers).split(' ').map(str::to_owned).collect();
        assert_eq!(cookies.len(), 5, "{cookies:?}");
        for line in ["set-cookie=a", "set-cookie=b", "set-cookie=c", "accept=1", "server=s"] {
            assert!(cookies.iter().any(|known| known == line), "{line}");
        }
    }

    #[test]
    fn headers_for_one_connection_are_removed_with_those_that_connection_names() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("connection", "Keep-Alive, X-Hop ,,"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("accept", "*/*"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("trailer", "x-sum"),
            ("x-hop", "2"),
            ("Connection", "other"),
            ("x-hops", "3"),
            ("other", "4"),
            ("authorization", "Basic eA=="),
        ] {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static(value));
        }
        headers.remove_hop_by_hop();
        let expected = "accept=*/* trailer=x-sum x-hops=3 authorization=Basic eA==";
        assert_eq!(list(&headers), expected);
        headers.remove_hop_by_hop();
        assert_eq!(list(&headers), expected);
    }

    #[test]
    fn names_and_values_that_would_split_a_message_are_refused() {
        let mut headers = Headers::new();
        for (name, value) in
            [("a b", "c"), ("", "c"), ("a", "b\r\nc: d"), ("a", "b\n"), ("a", "\0")]
        {
            assert_eq!(headers.try_insert(name, value), Err(EncodeError::Header));
        }
        assert!(headers.is_empty());
    }
}
