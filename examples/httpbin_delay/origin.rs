//! Where a request came from and where it went, as far as proxies in between tell.

use std::net::IpAddr;

use brigade::http::Request;

/// Headers in which platforms tell the client's address, the most telling one first.
const CLIENT_HEADERS: [&str; 4] =
    ["fly-client-ip", "cf-connecting-ip", "fastly-client-ip", "true-client-ip"];

/// The client's address, without a port. A client can make up what it likes.
pub(crate) fn client(request: &Request) -> String {
    if let Some(address) = CLIENT_HEADERS.iter().find_map(|name| text(request, name)) {
        return address;
    }
    if let Some(forwarded) = text(request, "x-forwarded-for") {
        let first = forwarded.split(',').next().unwrap_or_default();
        return first.trim().to_owned();
    }
    match request.peer_addr().ip() {
        IpAddr::V6(address) => address.to_canonical().to_string(),
        address @ IpAddr::V4(_) => address.to_string(),
    }
}

/// The URL that the client asked for.
pub(crate) fn url(request: &Request) -> String {
    let by_flag = || {
        let is_on = text(request, "x-forwarded-ssl").is_some_and(|value| value == "on");
        if is_on { "https".to_owned() } else { "http".to_owned() }
    };
    let scheme = text(request, "x-forwarded-proto")
        .or_else(|| text(request, "x-forwarded-protocol"))
        .unwrap_or_else(by_flag);
    let host = request.authority().unwrap_or_default();
    let (question_mark, query) = match request.query() {
        Some(query) => ("?", query),
        None => ("", ""),
    };
    format!("{scheme}://{host}{}{question_mark}{query}", request.path())
}

fn text(request: &Request, name: &str) -> Option<String> {
    let value = request.header(name).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value).into_owned())
}
