//! Where a request goes.

use std::rc::Rc;

use http::Uri;

/// What a URL says.
#[derive(Debug)]
pub(super) struct Target {
    /// The host in lower case and the port: what connections are kept by.
    pub(super) place: Rc<str>,
    /// The host, an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port as the URL has them, for the `Host` header.
    pub(super) authority: String,
    /// Path and query, for the request line.
    pub(super) path: String,
}

impl Target {
    /// What `url` says, or what is wrong with it.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let uri = Uri::try_from(url).map_err(|_| {
            "the URL is malformed: percent-encode what is neither a letter, a digit nor a \
             delimiter (RFC 3986)"
        })?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("https is not supported: use http://, through a proxy that speaks \
                            TLS for you if need be");
            }
            Some(_) => return Err("the URL's scheme is not supported: only http:// is"),
            None => return Err("the URL has no scheme: write http://host/path"),
        }
        let authority = uri.authority().ok_or("the URL has no host: write http://host/path")?;
        if authority.as_str().contains('@') {
            return Err("the URL has a user name: send an Authorization header instead");
        }
        let host = authority.host();
        if host.is_empty() {
            return Err("the URL has no host: write http://host/path");
        }
        // Not `Authority::port`, which takes a port beyond 65535 for none.
        let port = match &authority.as_str()[host.len()..] {
            "" | ":" => 80,
            port => port[1..].parse().map_err(|_| "the URL's port is no number up to 65535")?,
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(Self {
            place: format!("{}:{port}", host.to_ascii_lowercase()).into(),
            host: bare.unwrap_or(host).to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }
}

/// `url` as it may stand in a message: without a user name and its password.
pub(super) fn presentable(url: &str) -> String {
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
        let Target { place, host, port, authority, path } = target;
        (place.to_string(), host, port, authority, path)
    }

    fn is(url: &str, expected: (&str, &str, u16, &str, &str)) {
        let (place, host, port, authority, path) = expected;
        let expected = (place.into(), host.into(), port, authority.into(), path.into());
        assert_eq!(parsed(url), expected, "{url}");
    }

    #[test]
    fn urls_say_where_to_go() {
        is("http://a", ("a:80", "a", 80, "a", "/"));
        is("http://A.b:8080/x?y=z", ("a.b:8080", "A.b", 8080, "A.b:8080", "/x?y=z"));
        is("http://a?q", ("a:80", "a", 80, "a", "/?q"));
        is("http://a/p#f", ("a:80", "a", 80, "a", "/p"));
        is("http://[::1]:7/", ("[::1]:7", "::1", 7, "[::1]:7", "/"));
        is("http://a:/", ("a:80", "a", 80, "a:", "/"));
        is("HTTP://a:80/", ("a:80", "a", 80, "a:80", "/"));
    }

    #[test]
    fn urls_that_are_refused_say_why() {
        for (url, reason) in [
            ("https://a/", "https"),
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

    #[test]
    fn passwords_stay_out_of_messages() {
        assert_eq!(presentable("http://u:p@a/x@y"), "http://…@a/x@y");
        assert_eq!(presentable("http://a/x@y"), "http://a/x@y");
        assert_eq!(presentable("u:p@a"), "…@a");
    }
}
