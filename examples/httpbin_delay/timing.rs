//! The `Server-Timing` header: how long the parts of a response took.

use std::fmt::Write;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

/// The `http` crate has no constant for this header.
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Returns a `Server-Timing` of names, durations and descriptions.
pub(crate) fn server_timing(timings: &[(&str, Duration, &str)]) -> HeaderValue {
    let mut text = String::new();
    for (name, duration, meaning) in timings {
        let separator = if text.is_empty() { "" } else { ", " };
        let millis = duration.as_secs_f64() * 1000.0;
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}{name};dur={millis:.2};desc=\"{meaning}\"");
    }
    HeaderValue::try_from(text).expect("names and meanings are printable")
}
