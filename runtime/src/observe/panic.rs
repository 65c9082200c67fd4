//! The message of a panic.

use std::any::Any;

/// Returns the message of a panic, or a placeholder if the payload is not text.
#[doc(hidden)]
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(message) = payload.downcast_ref::<&'static str>() {
        message
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else {
        "(the payload is not text)"
    }
}
