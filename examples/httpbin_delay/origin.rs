//! The client's address and the request's URL, from the headers of proxies if there are any.

use std::net::IpAddr;

use brigade::http::Request;

/// Headers in which platforms pass the client's address, in the order of preference.
const CLIENT_HEADERS: [&str; 4] =
    ["fly-client-ip", "cf-connecting-ip", "fastly-client-ip", "true-client-ip"];

/// Returns the client's address, without a port. It cannot be trusted: a client may send any of
/// these headers.
pub(crate) fn client(request: &Request) -> String {
    if let Some(address) = CLIENT_HEADERS.iter().find_map(|name| header_text(request, name)) {
        return address;
    }
    if let Some(forwarded) = header_text(request, "x-forwarded-for") {
        let first = forwarded.split(',').next().unwrap_or_default();
        return first.trim().to_owned();
    }
    match request.peer_addr().ip() {
        Some(IpAddr::V6(address)) => address.to_canonical().to_string(),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => request.peer_addr().to_string(),
    }
}

/// Returns the URL that the client requested.
pub(crate) fn url(request: &Request) -> String {
    let by_flag = || {
        let is_on = header_text(request, "x-forwarded-ssl").is_some_and(|value| value == "on");
        if is_on { "https".to_owned() } else { request.scheme().to_owned() }
    };
    let scheme = header_text(request, "x-forwarded-proto")
        .or_else(|| header_text(request, "x-forwarded-protocol"))
        .unwrap_or_else(by_flag);
    let host = request.authority().unwrap_or_default();
    let (question_mark, query) = match request.query() {
        Some(query) => ("?", query),
        None => ("", ""),
    };
    format!("{scheme}://{host}{}{question_mark}{query}", request.path())
}

fn header_text(request: &Request, name: &str) -> Option<String> {
    let value = request.header(name).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value).into_owned())
}
