//! An event of a stream of server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::error::Error;
use std::fmt::{self, Write};
use std::time::Duration;

use bytes::Bytes;

/// An event for a browser's `EventSource`; see [`Sse`](crate::Sse).
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use brigade_http::Event;
///
/// let event = Event::new().event("price").id("17").data("BTC\n42");
/// assert_eq!(event.to_string(), "event: price\nid: 17\ndata: BTC\ndata: 42\n\n");
/// let hint = Event::new().retry(Duration::from_secs(5)).comment("slow down");
/// assert_eq!(hint.to_string(), ": slow down\nretry: 5000\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Event {
    comment: Option<String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    data: Option<String>,
}

impl Event {
    /// Creates an event without any field. A browser ignores one that has no data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the data, which may have several lines. It may be empty: then the browser receives an
    /// event with empty data.
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Sets the type of the event, for which a page listens. Without one it is `message`. Sending
    /// fails if it contains a line end.
    pub fn event(mut self, event: impl Into<String>) -> Self {
        self.event = Some(event.into());
        self
    }

    /// Sets the id, which the browser sends as
    /// [`Last-Event-ID`](crate::RequestHead::last_event_id) when it connects again. An empty one
    /// makes the browser forget the last. Sending fails if it contains a line end or NUL.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets how long the browser waits before it connects again, in whole milliseconds.
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets a comment, which the browser ignores. It may have several lines.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Returns the event as it is sent.
    pub(super) fn encode(&self) -> Result<Bytes, EventError> {
        let is_valid = |text: &Option<String>, forbidden: &[char]| {
            !text.as_ref().is_some_and(|text| text.contains(forbidden))
        };
        match () {
            () if !is_valid(&self.event, &['\r', '\n']) => Err(EventError::Event),
            () if !is_valid(&self.id, &['\r', '\n', '\0']) => Err(EventError::Id),
            () => Ok(self.to_string().into()),
        }
    }
}

/// Writes the event as it is sent, whether or not its fields are valid.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [("", &self.comment), ("event", &self.event), ("id", &self.id)];
        for (name, value) in fields {
            if let Some(value) = value {
                write_lines(name, value, f)?;
            }
        }
        if let Some(retry) = self.retry {
            writeln!(f, "retry: {}", retry.as_millis())?;
        }
        if let Some(data) = &self.data {
            write_lines("data", data, f)?;
        }
        f.write_char('\n')
    }
}

/// Writes a field for each line of `text`. A line ends in CR LF, LF or CR.
fn write_lines(name: &str, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for lines in text.split("\r\n") {
        for line in lines.split(['\r', '\n']) {
            writeln!(f, "{name}: {line}")?;
        }
    }
    Ok(())
}

/// The error when an [`Event`] cannot be sent. It ends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The type contains a line end.
    Event,
    /// The id contains a line end or NUL.
    Id,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "the type of an event contains a line end",
            Self::Id => "the id of an event contains a line end or NUL",
        })
    }
}

impl Error for EventError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_data_and_of_a_comment_becomes_a_line() {
        for (data, expected) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n"),
            ("a\n", "data: a\ndata: \n\n"),
            ("\n\nevent: x", "data: \ndata: \ndata: event: x\n\n"),
            (" a", "data:  a\n\n"),
        ] {
            assert_eq!(Event::new().data(data).encode().unwrap(), expected, "{data:?}");
        }
        assert_eq!(Event::new().comment("a\rb").encode().unwrap(), ": a\n: b\n\n");
        assert_eq!(Event::new().encode().unwrap(), "\n");
    }

    #[test]
    fn a_line_end_in_a_type_or_an_id_is_refused() {
        for text in ["a\nb", "a\rb", "\r\n"] {
            assert_eq!(Event::new().event(text).encode(), Err(EventError::Event));
            assert_eq!(Event::new().id(text).encode(), Err(EventError::Id));
        }
        assert_eq!(Event::new().id("a\0").encode(), Err(EventError::Id));
        assert!(Event::new().id("").event("a: b").encode().is_ok());
    }
}
