//! One entry of the access log, and its forms.

use std::fmt::{self, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brigade_runtime::net::PeerAddr;
use http::StatusCode;
use tracing::info;

use crate::message::escaped::{Escaped, is_escaped};
use crate::message::request::Request;
use crate::message::route::Route;
use crate::middleware::request_id::RequestId;
use crate::protocol::head::RequestHead;

/// How [`log_to`](super::log_to) writes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// One line of `name=value`, in which a value with other characters than those of names,
    /// numbers, dates and paths is quoted, as in JSON. What is unknown is left out.
    Text,
    /// One JSON object on a line. What is unknown is `null`.
    Json,
}

/// What the access log contains of one request.
pub(super) struct Entry {
    head: RequestHead,
    peer: PeerAddr,
    route: Option<Rc<Route>>,
    request_id: Option<RequestId>,
    /// The status, if there was a response.
    pub(super) status: Option<StatusCode>,
    pub(super) bytes: u64,
    pub(super) is_complete: bool,
    /// From the head of the request to the end of the response.
    pub(super) duration: Duration,
}

impl Entry {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            head: request.head().clone(),
            peer: request.peer_addr(),
            route: request.parts.route.clone(),
            request_id: request.extensions().get().cloned(),
            status: None,
            bytes: 0,
            is_complete: false,
            duration: Duration::ZERO,
        }
    }

    /// Emits the entry as an event.
    pub(super) fn emit(&self) {
        let (method, path, peer) = (self.head.method(), self.head.path(), self.peer);
        let (route, request_id) = (self.route(), self.request_id());
        let (bytes, complete, milliseconds) = (self.bytes, self.is_complete, self.milliseconds());
        match self.status.map(|status| status.as_u16()) {
            Some(status) => info!(
                target: "brigade::access",
                %method, path = %Escaped(path), route, status, bytes, complete, request_id,
                milliseconds, %peer
            ),
            None => info!(
                target: "brigade::access",
                %method, path = %Escaped(path), route, bytes, complete, request_id, milliseconds,
                %peer, "ended without a response"
            ),
        }
    }

    /// Appends the entry and a line end to `line`.
    pub(super) fn write(&self, format: LogFormat, now: SystemTime, line: &mut String) {
        match format {
            LogFormat::Text => self.write_text(now, line),
            LogFormat::Json => self.write_json(now, line),
        }
        line.push('\n');
    }

    fn write_text(&self, now: SystemTime, line: &mut String) {
        push(line, format_args!("time={}", Rfc3339(now)));
        for (name, value) in self.values() {
            match value {
                Value::Text(text) if is_plain(text) => push(line, format_args!(" {name}={text}")),
                Value::Text(text) => push(line, format_args!(" {name}={}", Quoted(text))),
                Value::Other(value) => push(line, format_args!(" {name}={value}")),
                Value::Unknown => {}
            }
        }
        push(line, format_args!(" peer={}", self.peer));
    }

    fn write_json(&self, now: SystemTime, line: &mut String) {
        push(line, format_args!("{{\"time\":\"{}\"", Rfc3339(now)));
        for (name, value) in self.values() {
            match value {
                Value::Text(text) => push(line, format_args!(",\"{name}\":{}", Quoted(text))),
                Value::Other(value) => push(line, format_args!(",\"{name}\":{value}")),
                Value::Unknown => push(line, format_args!(",\"{name}\":null")),
            }
        }
        push(line, format_args!(",\"peer\":\"{}\"}}", self.peer));
    }

    /// Returns what both forms have, in their order.
    fn values(&self) -> [(&'static str, Value<'_>); 8] {
        let text = |text| Option::map_or(text, Value::Unknown, Value::Text);
        let status = self.status.map_or(Value::Unknown, |status| number(status.as_u16()));
        [
            ("method", Value::Text(self.head.method().as_str())),
            ("path", Value::Text(self.head.path())),
            ("route", text(self.route())),
            ("status", status),
            ("bytes", number(self.bytes)),
            ("complete", Value::Other(self.is_complete.to_string())),
            ("request_id", text(self.request_id())),
            ("milliseconds", number(self.milliseconds())),
        ]
    }

    fn route(&self) -> Option<&str> {
        self.route.as_ref().map(|route| &*route.pattern)
    }

    fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref().map(RequestId::as_str)
    }

    /// Returns the duration in milliseconds, rounded to microseconds.
    fn milliseconds(&self) -> f64 {
        (self.duration.as_secs_f64() * 1e6).round() / 1e3
    }
}

enum Value<'a> {
    Text(&'a str),
    /// A number or a truth value.
    Other(String),
    Unknown,
}

fn number(number: impl fmt::Display) -> Value<'static> {
    Value::Other(number.to_string())
}

fn push(line: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a `String` does not fail.
    let _ = line.write_fmt(arguments);
}

/// Returns `true` if `text` needs no quotes.
fn is_plain(text: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;%{}".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

/// Displays text as a string of JSON (RFC 8259 section 7). What could confuse a terminal or a log
/// is escaped too: all control characters, and those that change the direction of text.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                _ if is_escaped(character) => write!(f, "\\u{:04x}", u32::from(character))?,
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

/// Displays a time in UTC with milliseconds (RFC 3339).
struct Rfc3339(SystemTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock before 1970 is not set.
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let milliseconds = since.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}")?;
        write!(f, "T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
    }
}

/// Returns year, month and day of a number of days since 1970-01-01, by the Gregorian calendar. It
/// repeats every 400 years, which have 146,097 days. Years begin in March here, so that a leap day
/// is the last of its year.
fn date(days_since_1970: u64) -> (u64, u64, u64) {
    // From 0000-03-01 on.
    let days = days_since_1970 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    // Without the leap days: one in 4 years, none in 100, one in 400.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 153 days in five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (year, month + 3),
        _ => (year + 1, month - 9),
    };
    (era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_gregorian_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_582_934_399, "2020-02-28T23:59:59.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Rfc3339(time).to_string(), text);
        }
        // Each day, against the crate that formats the dates of HTTP.
        for day in 0..80_000 {
            let time = UNIX_EPOCH + Duration::from_secs(day * 86_400);
            let http = httpdate::fmt_http_date(time);
            let (year, _, of_month) = date(day);
            assert_eq!(
                (&http[5..7], &http[12..16]),
                (&*format!("{of_month:02}"), &*year.to_string())
            );
        }
    }

    #[test]
    fn text_is_quoted_as_in_json() {
        for (text, quoted) in [
            ("/a?b=c", r#""/a?b=c""#),
            ("a \"b\" \\", r#""a \"b\" \\""#),
            ("a\r\n\0\u{7f}", r#""a\u000d\u000a\u0000\u007f""#),
            ("\u{202e}é\u{1F600}", "\"\\u202eé\u{1F600}\""),
        ] {
            assert_eq!(Quoted(text).to_string(), quoted);
        }
        assert!(is_plain("/a/{b}?c%20") && !is_plain("") && !is_plain("a b") && !is_plain("\"a\""));
        assert!(!is_plain("a=b") && !is_plain("é"));
    }
}
