//! JSON as the data of events.

use serde::Serialize;

use crate::message::sse_event::Event;

impl Event {
    /// Sets the data to `value` in JSON.
    ///
    /// # Errors
    /// If the value cannot be serialized, such as a map whose keys are not strings.
    ///
    /// # Examples
    /// ```
    /// let event = brigade_http::Event::new().json(&[1, 2])?;
    /// assert_eq!(event.to_string(), "data: [1,2]\n\n");
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    pub fn json<T: Serialize>(self, value: &T) -> Result<Self, serde_json::Error> {
        Ok(self.data(serde_json::to_string(value)?))
    }
}
