//! The origin of the page that asks for a WebSocket (RFC 6455 section 10.2).

use crate::protocol::head::RequestHead;

/// The origin of a page, and the host that it asks.
#[derive(Debug)]
pub(super) struct Origin {
    /// `None` if the client is not a browser.
    origin: Option<String>,
    host: String,
}

impl Origin {
    /// Returns the origin and the host of a request.
    pub(super) fn of(head: &RequestHead) -> Self {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Self {
            origin: head.header("origin").map(text),
            host: head.host().unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Returns `true` if there is no origin, or it has the host and the port of the request. The
    /// scheme is not compared: a proxy may have received the request over TLS.
    pub(super) fn is_same(&self) -> bool {
        let Some(origin) = &self.origin else { return true };
        // `null`, the origin of a sandboxed page, has no scheme.
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return false,
        };
        let without_port = |authority: &str| {
            authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
        };
        without_port(authority) == without_port(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_same_if_host_and_port_are() {
        let is_same = |origin: &str, host: &str| {
            Origin { origin: Some(origin.to_owned()), host: host.to_owned() }.is_same()
        };
        for (origin, host) in [
            ("http://example.org", "example.org"),
            ("https://example.org", "EXAMPLE.org:443"),
            ("https://example.org:443", "example.org"),
            ("http://example.org:8080", "example.org:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_same(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://example.org.evil.com", "example.org"),
            ("http://evil.com", "example.org"),
            ("https://example.org", "example.org:80"),
            ("http://example.org:81", "example.org"),
            ("null", "example.org"),
            ("", ""),
            ("file://", ""),
            ("http://", "example.org"),
        ] {
            assert!(!is_same(origin, host), "{origin} {host}");
        }
    }
}
