//! Where a request goes.

use std::fmt;
use std::rc::Rc;

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::client::tls;

/// The characters of a `Location` that are percent-encoded, besides those outside of ASCII.
const INVALID_IN_URLS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A parsed URL.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) is_https: bool,
    /// The scheme, the host in lower case, and the port: the key of kept connections.
    pub(super) origin: Rc<str>,
    /// The host, an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port as the URL has them, for the `Host` header.
    pub(super) authority: String,
    /// Path and query, for the request line.
    pub(super) path: String,
}

impl Target {
    /// Parses `url`. The error says what is wrong with it.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let uri = Uri::try_from(url).map_err(|_| {
            "the URL is malformed: percent-encode characters other than letters, digits and \
             delimiters (RFC 3986)"
        })?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") if tls::IS_SUPPORTED => true,
            Some("https") => return Err("https is not supported without the feature `tls`"),
            Some(_) => return Err("the URL's scheme is neither http nor https"),
            None => return Err("the URL has no scheme: write http://host/path"),
        };
        let authority = uri.authority().ok_or("the URL has no host: write http://host/path")?;
        if authority.as_str().contains('@') {
            return Err("the URL has a user name: send an Authorization header instead");
        }
        let host = authority.host();
        if host.is_empty() {
            return Err("the URL has no host: write http://host/path");
        }
        // `Authority::port` returns `None` for a port beyond 65535.
        let port = match &authority.as_str()[host.len()..] {
            "" | ":" if is_https => 443,
            "" | ":" => 80,
            port => port[1..].parse().map_err(|_| "the URL's port is not a number up to 65535")?,
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(Self {
            is_https,
            origin: format!("{}://{}:{port}", scheme(is_https), host.to_ascii_lowercase()).into(),
            host: bare.unwrap_or(host).to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }

    /// Resolves a reference, as it is in `Location`, against this URL (RFC 3986 section 5.2). Bytes
    /// that a URL may not have are percent-encoded first, as browsers do. The error says what is
    /// wrong with the result.
    pub(super) fn join(&self, reference: &[u8]) -> Result<Self, &'static str> {
        let reference = percent_encode(reference, INVALID_IN_URLS).to_string();
        let reference = reference.split('#').next().unwrap_or_default();
        if has_scheme(reference) {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", scheme(self.is_https)));
        }
        let base = self.path.split('?').next().unwrap_or_default();
        let (path, query) = match reference.find('?') {
            Some(at) => reference.split_at(at),
            None => (reference, ""),
        };
        let path = match path {
            "" if query.is_empty() => self.path.clone(),
            "" => format!("{base}{query}"),
            _ if path.starts_with('/') => without_dots(path) + query,
            _ => {
                let folder = &base[..base.rfind('/').map_or(0, |at| at + 1)];
                without_dots(&format!("{folder}{path}")) + query
            }
        };
        Self::parse(&format!("{}://{}{path}", scheme(self.is_https), self.authority))
    }
}

/// Writes the URL, without a fragment.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", scheme(self.is_https), self.authority, self.path)
    }
}

/// Returns the scheme of a URL.
const fn scheme(is_https: bool) -> &'static str {
    if is_https { "https" } else { "http" }
}

/// Returns `true` if `reference` begins with a scheme (RFC 3986 section 3.1).
fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split_once(':').map(|(scheme, _)| scheme.as_bytes());
    scheme.is_some_and(|scheme| {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(is_allowed)
    })
}

/// Removes the segments `.` and `..` of an absolute path (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment == ".." {
            kept.pop();
        } else if segment != "." {
            kept.push(segment);
            continue;
        }
        // What is left is a folder.
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// Returns `url` without a user name and password, for messages.
pub(super) fn without_credentials(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    match url[start..end].rfind('@') {
        Some(at) => format!("{}…{}", &url[..start], &url[start + at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, String, u16, String, String) {
        let target = Target::parse(url).unwrap();
        let Target { origin, host, port, authority, path, .. } = target;
        (origin.to_string(), host, port, authority, path)
    }

    fn is(url: &str, expected: (&str, &str, u16, &str, &str)) {
        let (origin, host, port, authority, path) = expected;
        let expected = (origin.into(), host.into(), port, authority.into(), path.into());
        assert_eq!(parsed(url), expected, "{url}");
    }

    #[test]
    fn urls_are_split_into_their_parts() {
        is("http://a", ("http://a:80", "a", 80, "a", "/"));
        is("http://A.b:8080/x?y=z", ("http://a.b:8080", "A.b", 8080, "A.b:8080", "/x?y=z"));
        is("http://a?q", ("http://a:80", "a", 80, "a", "/?q"));
        is("http://a/p#f", ("http://a:80", "a", 80, "a", "/p"));
        is("http://[::1]:7/", ("http://[::1]:7", "::1", 7, "[::1]:7", "/"));
        is("http://a:/", ("http://a:80", "a", 80, "a:", "/"));
        is("HTTP://a:80/", ("http://a:80", "a", 80, "a:80", "/"));
    }

    #[test]
    fn https_has_a_port_and_an_origin_of_its_own() {
        if !tls::IS_SUPPORTED {
            assert!(Target::parse("https://a/").unwrap_err().contains("feature"));
            return;
        }
        is("https://a", ("https://a:443", "a", 443, "a", "/"));
        is("https://A:8443/x", ("https://a:8443", "A", 8443, "A:8443", "/x"));
        let plain = Target::parse("http://a/").unwrap();
        assert_eq!(plain.join(b"https://a/").unwrap().to_string(), "https://a/");
        let secure = Target::parse("https://a/b").unwrap();
        for (reference, expected) in [("c", "https://a/c"), ("//d/", "https://d/")] {
            assert_eq!(secure.join(reference.as_bytes()).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn errors_say_why_a_url_is_refused() {
        for (url, reason) in [
            ("ftp://a/", "scheme"),
            ("a/b", "malformed"),
            ("/b", "scheme"),
            ("a", "scheme"),
            ("", "malformed"),
            ("http://", "malformed"),
            ("http:///x", "malformed"),
            ("http://u:p@a/", "user name"),
            ("http://a:99999/", "port"),
            ("http://a/ b", "malformed"),
            ("http://ä/", "malformed"),
        ] {
            let error = Target::parse(url).expect_err(url);
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    /// The examples of RFC 3986 section 5.4, with `http://a/b/c/d;p?q` as the base.
    #[test]
    fn references_are_resolved_as_in_the_standard() {
        let base = Target::parse("http://a/b/c/d;p?q").unwrap();
        let joined =
            |reference: &str| base.join(reference.as_bytes()).map(|target| target.to_string());
        for (reference, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("g;x=1/./y", "/b/c/g;x=1/y"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("a:b/../c", ""),
            ("two words/\u{fc}", "/b/c/two%20words/%C3%BC"),
        ] {
            match expected {
                "" => assert!(joined(reference).is_err(), "{reference}"),
                path => assert_eq!(joined(reference).unwrap(), format!("http://a{path}")),
            }
        }
        assert_eq!(joined("//g").unwrap(), "http://g/");
        assert_eq!(joined("//g:8/x?y").unwrap(), "http://g:8/x?y");
        assert_eq!(joined("HTTP://G/../x").unwrap(), "http://G/../x");
        assert!(joined("//u@b/").unwrap_err().contains("user name"));
        assert!(base.join(b"//\xff/").is_err());
    }

    #[test]
    fn messages_do_not_show_passwords() {
        assert_eq!(without_credentials("http://u:p@a/x@y"), "http://…@a/x@y");
        assert_eq!(without_credentials("http://a/x@y"), "http://a/x@y");
        assert_eq!(without_credentials("u:p@a"), "…@a");
    }
}
