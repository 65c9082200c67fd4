//! The errors of the compiler for functions and options that the macros refuse.
//!
//! Each test runs rustc on a few lines. The errors are found while macros are expanded, so
//! `brigade` itself is not needed.

#[path = "../../tests/common/rustc.rs"]
mod rustc;

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};

/// Returns what rustc says about `code`, in which the macros are `brigade::main` and
/// `brigade::test`.
fn errors(name: &str, code: &str) -> String {
    let prefix = format!("{DLL_PREFIX}brigade_macros-");
    let output = rustc::compile(name, "brigade", (&prefix, DLL_SUFFIX), code);
    assert!(!output.status.success(), "{code}");
    String::from_utf8(output.stderr).unwrap()
}

/// Asserts that the only error is `message`, and that rustc points at `place`.
#[track_caller]
fn assert_refused(name: &str, code: &str, message: &str, place: &str) {
    let errors = errors(name, code);
    assert!(errors.starts_with(&format!("error: {message}\n")), "{errors}");
    assert_eq!(errors.matches("\nerror").count(), 1, "only the summary follows: {errors}");
    let (line, column) = (1, code.find(place).unwrap() + 1);
    assert!(errors.contains(&format!("code.rs:{line}:{column}\n")), "{place}: {errors}");
}

#[test]
fn a_function_that_is_not_async_is_refused() {
    let message = "`#[brigade::main]` needs an async function: add `async` before `fn`";
    assert_refused("main", "#[brigade::main] pub fn main() {}", message, "fn main()");
    let message = "`#[brigade::test]` needs an async function: add `async` before `fn`";
    assert_refused("test", "#[brigade::test] fn test() {}", message, "fn test()");
}

#[test]
fn parameters_and_generics_are_refused() {
    let message = "`#[brigade::main]` needs a function without parameters";
    let code = "#[brigade::main] pub async fn main(port: u16) { drop(port) }";
    assert_refused("parameters", code, message, "(port: u16)");
    let message = "`#[brigade::test]` needs a function without generics";
    assert_refused("generics", "#[brigade::test] pub async fn f<T>() {}", message, "f<T>");
}

#[test]
fn unsafe_functions_and_what_is_no_function_are_refused() {
    let message = "`#[brigade::main]` needs a function that is neither unsafe nor extern";
    let code = "#[brigade::main] pub async unsafe fn main() {}";
    assert_refused("unsafe", code, message, "fn main");
    let message = "`#[brigade::main]` needs an async function";
    assert_refused("struct", "#[brigade::main] pub struct Main;", message, "pub struct");
}

#[test]
fn options_that_do_not_exist_are_refused() {
    let message = "`#[brigade::main]` has no options";
    assert_refused("option", "#[brigade::main(x)] pub async fn main() {}", message, "x)]");
    let message = "the only option of `#[brigade::test]` is `real_clock`";
    for (name, option) in [("fast", "fast"), ("two", "real_clock, fast")] {
        let code = format!("#[brigade::test({option})] pub async fn f() {{}}");
        assert_refused(name, &code, message, option);
    }
}
