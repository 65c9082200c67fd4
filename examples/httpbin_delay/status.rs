//! `/status/{code}`: a response with that status, or with a random one of several.

use brigade::http::{Request, Response};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, LOCATION, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};

use crate::failure::{EndpointResult, Failure};
use crate::query;

/// A status and its weight.
type Choice = (StatusCode, f64);

/// Responds with the status in the path, or with one of several by weight: `200:0.9,500:0.1`.
pub(crate) fn status(request: &Request) -> EndpointResult {
    let text = request.param("code").unwrap_or_default();
    let choices = query::decode(text).and_then(|text| parse(&text));
    let choices = choices.map_err(Failure::bad_request)?;
    Ok(response(choose(&choices)))
}

fn parse(text: &str) -> Result<Vec<Choice>, String> {
    text.split(',').map(parse_choice).collect()
}

fn parse_choice(text: &str) -> Result<Choice, String> {
    let (code, weight) = text.split_once(':').unwrap_or((text, "1"));
    let status = parse_status(code)?;
    match weight.parse::<f64>() {
        Ok(weight) if weight.is_finite() && weight >= 0.0 => Ok((status, weight)),
        _ => Err(format!("invalid weight value: {weight:?}")),
    }
}

/// Parses a status that can end a request, so not a 1xx.
pub(crate) fn parse_status(text: &str) -> Result<StatusCode, String> {
    let code: u16 = text.parse().map_err(|_| format!("invalid status code: {text:?}"))?;
    let status = StatusCode::from_u16(code).ok().filter(|_| (200..600).contains(&code));
    status.ok_or_else(|| format!("invalid status code: {code} not in range [200, 599]"))
}

fn choose(choices: &[Choice]) -> StatusCode {
    let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
    let mut point = fastrand::f64() * total;
    for (status, weight) in choices {
        if point < *weight {
            return *status;
        }
        point -= weight;
    }
    choices.last().map_or(StatusCode::OK, |(status, _)| *status)
}

/// A response with `status` and the header that clients expect with it.
fn response(status: StatusCode) -> Response {
    let (header, body) = companion(status);
    let response = Response::text(body).with_status(status);
    match header {
        Some((name, value)) => response.with_header(name, HeaderValue::from_static(value)),
        None => response,
    }
}

/// Returns the header that the status requires, if any, and a body.
fn companion(status: StatusCode) -> (Option<(HeaderName, &'static str)>, &'static str) {
    const CHALLENGE: &str = "Basic realm=\"httpbin_delay\"";
    match status.as_u16() {
        300..=303 | 305 | 307 | 308 => (Some((LOCATION, "/get")), ""),
        401 => (Some((WWW_AUTHENTICATE, CHALLENGE)), ""),
        407 => (Some((PROXY_AUTHENTICATE, CHALLENGE)), ""),
        418 => (None, "short and stout\n"),
        _ => (None, ""),
    }
}
