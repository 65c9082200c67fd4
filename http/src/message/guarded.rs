//! Drops users' values without letting a panic escape.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use brigade_runtime::discard_payload;
use pin_project_lite::pin_project;

/// Drops `value`, and ignores a panic of its destructor. The panic hook has reported it.
pub(crate) fn drop_guarded<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        discard_payload(payload);
    }
}

pin_project! {
    /// A user's future, within one of ours. If it panics, it is dropped before the panic goes on.
    /// If the unwinding dropped it, a panic of its destructor would abort the process.
    pub(crate) struct GuardedFuture<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F> GuardedFuture<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(future) }
    }
}

impl<F: Future> Future for GuardedFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut slot = self.project().future;
        let future = slot.as_mut().as_pin_mut().expect("it is not polled after a panic");
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled,
            Err(payload) => {
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| slot.set(None))) {
                    discard_payload(second);
                }
                resume_unwind(payload)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct PanicsInDrop(u8);

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            if let Some(next) = self.0.checked_sub(1) {
                panic_any(PanicsInDrop(next));
            }
        }
    }

    #[test]
    fn a_panic_of_a_destructor_does_not_escape_nor_does_that_of_its_payload() {
        drop_guarded(PanicsInDrop(3));
    }
}
