//! What the macros write: code, and errors of the compiler.

use proc_macro::{Span, TokenStream};

/// An error of the compiler at a place in the source.
pub(crate) struct Error {
    span: Span,
    message: String,
}

impl Error {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// Returns the tokens of the error and of `item`, so that uses of the item cause no further
    /// errors.
    pub(crate) fn with(self, item: TokenStream) -> TokenStream {
        let error = format!("::core::compile_error! {{ {:?} }}", self.message);
        let error = parsed(&error).into_iter().map(|mut token| {
            token.set_span(self.span);
            token
        });
        error.chain(item).collect()
    }
}

/// Returns the tokens of code that this crate wrote.
pub(crate) fn parsed(code: &str) -> TokenStream {
    code.parse().expect("the code is a sequence of tokens")
}
