//! Drops users' values without letting a panic escape.

use std::panic::{AssertUnwindSafe, catch_unwind};

use brigade_runtime::discard_payload;

/// Drops `value`, and ignores a panic of its destructor. The panic hook has reported it.
pub(crate) fn drop_guarded<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        discard_payload(payload);
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
