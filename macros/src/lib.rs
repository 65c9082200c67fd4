//! The attributes `#[brigade::main]` and `#[brigade::test]`, which `brigade` re-exports and
//! documents.
//!
//! They work on tokens, and leave it to the compiler to check the function. From
//!
//! ```text
//! #[brigade::main]
//! async fn main() -> T { body }
//! ```
//!
//! they make
//!
//! ```text
//! fn main() -> T {
//!     async fn main() -> T { body }
//!     ::brigade::run(main())
//! }
//! ```
#![forbid(unsafe_code)]

mod function;
mod output;

use proc_macro::{TokenStream, TokenTree};

use crate::function::Function;
use crate::output::Error;

/// Makes a function of an async function, which runs it on a new event loop of this thread.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = match options.into_iter().next() {
        Some(option) => Err(Error::new(option.span(), "`#[brigade::main]` has no options")),
        None => Function::parse("main", item.clone()).map(|function| {
            let run = format!("::brigade::run({}())", function.name);
            function.wrap("", &run)
        }),
    };
    expanded.unwrap_or_else(|error| error.with(item))
}

/// Makes a test of an async function, which runs it on a new event loop with a manual clock. With
/// the option `real_clock` the loop has a real one.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = is_clock_manual(options).and_then(|manual| {
        let function = Function::parse("test", item.clone())?;
        let name = &function.name;
        let run = format!(
            "::brigade::EventLoop::builder()
                .manual_clock({manual})
                .build()
                .unwrap_or_else(|error| ::core::panic!(\"{{error}}\"))
                .run_until_complete({name}())"
        );
        Ok(function.wrap("#[::core::prelude::v1::test]", &run))
    });
    expanded.unwrap_or_else(|error| error.with(item))
}

fn is_clock_manual(options: TokenStream) -> Result<bool, Error> {
    let mut options = options.into_iter();
    match (options.next(), options.next()) {
        (None, _) => Ok(true),
        (Some(TokenTree::Ident(option)), None) if option.to_string() == "real_clock" => Ok(false),
        (Some(option), _) => {
            let message = "the only option of `#[brigade::test]` is `real_clock`";
            Err(Error::new(option.span(), message))
        }
    }
}
