//! Our requests, as tower's services receive them.

use http::Uri;
use http::uri::PathAndQuery;

use crate::extract::peer::Peer;
use crate::message::request::Request;
use crate::message::send_body::SendBody;

/// Converts a request.
pub(super) fn to_http(request: Request) -> http::Request<SendBody> {
    without_body(&request).map(|()| request.into_body().into_send())
}

/// Converts the head of a request. Its extensions are those of the extension `http::Extensions`,
/// and the address of the client, as a [`PeerAddr`](brigade_runtime::net::PeerAddr), and over TCP
/// as a [`Peer`].
pub(super) fn without_body(request: &Request) -> http::Request<()> {
    let head = request.head();
    let mut converted = http::Request::new(());
    *converted.method_mut() = head.method().clone();
    *converted.version_mut() = head.version();
    *converted.uri_mut() = head.uri();
    *converted.headers_mut() = head.fields.to_map();
    if let Some(extensions) = request.extensions().get::<http::Extensions>() {
        *converted.extensions_mut() = extensions.clone();
    }
    converted.extensions_mut().insert(request.peer_addr());
    if let Some(address) = request.peer_addr().tcp() {
        converted.extensions_mut().insert(Peer(address));
    }
    converted
}

/// Removes the first `count` segments of the path of `uri`.
pub(super) fn without_segments(uri: &Uri, count: usize) -> Uri {
    let path = uri.path();
    let below = path.match_indices('/').nth(count).map_or("", |(at, _)| &path[at..]);
    let mut target = String::with_capacity(path.len() + 1);
    if !below.starts_with('/') {
        target.push('/');
    }
    target.push_str(below);
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    // What is left of a valid path is one, too.
    Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segments_of_a_prefix_are_removed() {
        let uri = |text: &'static str| Uri::from_static(text);
        for (before, count, after) in [
            ("/api/v1/users?q=%20", 2, "/users?q=%20"),
            ("/api", 1, "/"),
            ("/api?a", 1, "/?a"),
            ("/api/", 1, "/"),
            ("/a%2Fb/c/", 1, "/c/"),
            ("/a//b", 1, "//b"),
            ("/a", 0, "/a"),
        ] {
            assert_eq!(without_segments(&uri(before), count), uri(after), "{before}");
        }
        let absolute = without_segments(&uri("http://host/api/users"), 1);
        assert_eq!(absolute, uri("http://host/users"));
    }
}
