//! Panics in code of users: their messages, and destructors that panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// Calls `f`, code of a user.
///
/// # Errors
/// The message of the panic if `f` panics.
#[doc(hidden)]
pub fn catch_panic<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let message = panic_message(&*payload).to_owned();
        discard_payload(payload);
        message
    })
}

/// Drops the payload of a panic, which is a value of a user. If its destructor panics too, the
/// payload of that panic is leaked, because its destructor may panic again, without end.
#[doc(hidden)]
pub fn discard_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// A value of a user. A panic in its destructor is logged and goes no further.
#[derive(Clone)]
pub(crate) struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn get(&self) -> &T {
        self.0.as_ref().expect("the value is present until it is dropped")
    }

    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect("the value is present until it is dropped")
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        log_panic(|| drop(value));
    }
}

/// Calls `f`, code of a user, and logs a panic in it.
pub(crate) fn log_panic(f: impl FnOnce()) {
    if let Err(message) = catch_panic(f) {
        tracing::error!(target: "brigade", "code outside of tasks panicked: {message}");
    }
}
