//! Responses that describe the request.

use brigade::http::Request;
use bytes::Bytes;
use serde::Serialize;

use crate::document::json;
use crate::failure::EndpointResult;
use crate::origin;
use crate::posted::{self, Posted};
use crate::query::{self, Values};

/// A request without its body.
#[derive(Serialize)]
pub(crate) struct Echo {
    args: Values,
    headers: Values,
    method: String,
    origin: String,
    url: String,
}

/// A request with its body.
#[derive(Serialize)]
struct EchoWithBody {
    #[serde(flatten)]
    echo: Echo,
    #[serde(flatten)]
    posted: Posted,
}

/// A request in one of many lines.
#[derive(Serialize)]
pub(crate) struct EchoLine {
    pub(crate) id: i64,
    args: Values,
    headers: Values,
    origin: String,
    url: String,
}

#[derive(Serialize)]
struct Headers {
    headers: Values,
}

#[derive(Serialize)]
struct Ip {
    origin: String,
}

#[derive(Serialize)]
struct UserAgent {
    #[serde(rename = "user-agent")]
    user_agent: String,
}

impl EchoLine {
    pub(crate) fn of(request: &Request) -> Self {
        let Echo { args, headers, origin, url, .. } = Echo::of(request);
        Self { id: 0, args, headers, origin, url }
    }
}

impl Echo {
    fn of(request: &Request) -> Self {
        Self {
            args: query::parse_query(request.query().unwrap_or_default()),
            headers: headers_of(request),
            method: request.method().to_string(),
            origin: origin::client(request),
            url: origin::url(request),
        }
    }
}

/// `/get`
pub(crate) fn get(request: &Request) -> EndpointResult {
    Ok(json(&Echo::of(request)))
}

/// `/headers`
pub(crate) fn headers(request: &Request) -> EndpointResult {
    Ok(json(&Headers { headers: headers_of(request) }))
}

/// `/ip`
pub(crate) fn ip(request: &Request) -> EndpointResult {
    Ok(json(&Ip { origin: origin::client(request) }))
}

/// `/user-agent`
pub(crate) fn user_agent(request: &Request) -> EndpointResult {
    let user_agent = request.header("user-agent").unwrap_or_default();
    Ok(json(&UserAgent { user_agent: String::from_utf8_lossy(user_agent).into_owned() }))
}

/// `/anything`, `/post`, `/put`, `/patch` and `/delete`.
pub(crate) async fn anything(request: &mut Request) -> EndpointResult {
    let body = posted::read(request).await?;
    with_body(request, body).await
}

/// Describes `request`, whose body is `body`.
pub(crate) async fn with_body(request: &Request, body: Bytes) -> EndpointResult {
    let posted = match body.is_empty() {
        true => Posted::default(),
        // Boxed, so that a request without a body does not hold the space while it waits.
        false => Box::pin(posted::parse(request, body)).await?,
    };
    Ok(json(&EchoWithBody { echo: Echo::of(request), posted }))
}

/// Returns the headers, named as Go names them.
fn headers_of(request: &Request) -> Values {
    let mut headers = Values::new();
    for (name, value) in request.header_lines() {
        let name = canonical(name);
        let value = String::from_utf8_lossy(value).into_owned();
        headers.entry(name).or_default().push(value);
    }
    // The host of an absolute target replaces `Host` (RFC 9112 section 3.2.2).
    let host = request.authority().unwrap_or_default().to_owned();
    headers.insert("Host".to_owned(), vec![host]);
    headers
}

/// Returns `name` in Go's canonical form: the first letter and each letter after a hyphen are
/// upper case, the others lower case.
fn canonical(name: &[u8]) -> String {
    let mut starts = true;
    let letter = |byte: &u8| {
        let letter = if starts { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        starts = *byte == b'-';
        char::from(letter)
    };
    name.iter().map(letter).collect()
}
