//! What the compiler says about a function that is no handler, and about types that are neither an
//! argument nor a response.
//!
//! Each test runs rustc on a few lines. Only our own words are compared, since the rest depends on
//! the version of the compiler.

#[path = "../../tests/common/rustc.rs"]
mod rustc;

use std::process::Output;

/// Compiles `code`, after imports of everything that it needs.
fn compile(name: &str, code: &str) -> Output {
    // All builds have what the tests use.
    let library = ("libbrigade_http-", ".rlib");
    let code = format!("#![allow(warnings)] use brigade_http::*;\n{code}");
    rustc::compile(name, "brigade_http", library, &code)
}

/// Asserts that each error ends with `message`, since rustc may report one at several places, and
/// that these texts are added.
#[track_caller]
fn assert_refused(name: &str, code: &str, message: &str, texts: &[&str]) {
    let output = compile(name, code);
    assert!(!output.status.success(), "{code}");
    let errors = String::from_utf8(output.stderr).unwrap();
    let mut found = errors.lines().filter(|line| line.starts_with("error[")).peekable();
    assert!(found.peek().is_some() && found.all(|error| error.ends_with(message)), "{errors}");
    for text in texts {
        assert!(errors.contains(text), "{text}: {errors}");
    }
}

#[track_caller]
fn assert_no_handler(name: &str, handler: &str) {
    let code = format!(
        "struct Item; {handler}\nfn app() -> Router {{ Router::new().route(\"/\", get(handle)) }}"
    );
    let texts = [
        "not an async function whose arguments are made from a request",
        "= note: a handler is an async function of up to eight arguments\n",
        "= note: each argument implements `FromRequestParts`; the last may implement `FromRequest`",
        "= note: its result implements `IntoResponse`\n",
        "= note: name the types of a closure's arguments: `async |request: Request| …`\n",
    ];
    assert_refused(name, &code, "` is not a handler", &texts);
}

#[test]
fn handlers_compile() {
    let code = "
        async fn handle(method: Method, request: Request) -> StatusCode { StatusCode::OK }
        fn app() -> Router {
            Router::new().route(\"/\", get(handle)).route(\"/2\", get(async |_: Method| ()))
        }";
    let output = compile("handlers", code);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_function_that_is_no_handler_is_refused_with_what_a_handler_is() {
    assert_no_handler("sync", "fn handle() -> &'static str { \"\" }");
    assert_no_handler("result", "async fn handle() -> Item { Item }");
    assert_no_handler("argument", "async fn handle(item: Item) {}");
    assert_no_handler("order", "async fn handle(body: Bytes, method: Method) {}");
    let nine = "async fn handle(_: Uri, _: Uri, _: Uri, _: Uri, _: Uri, _: Uri, _: Uri, _: Uri, \
        _: Uri) {}";
    assert_no_handler("nine", nine);
}

#[test]
fn a_result_that_is_no_response_is_refused_with_what_can_be_one() {
    let texts = [
        "not a response",
        "= note: return a text, `Json(value)`, a status, or a tuple of a status, headers and a \
         body\n",
        "= note: or implement `IntoResponse` for it\n",
    ];
    let layer = "struct Item; async fn layer(request: Request, next: Next) -> Item { Item }
        fn app() -> Router { Router::new().layer(layer) }";
    assert_refused("layer", layer, ": `Item` cannot be returned as a response", &texts);
    let on_error = "struct Item;
        fn app() -> Router { Router::new().on_error(|_: &HandlerError, _: &RequestHead| Item) }";
    assert_refused("on-error", on_error, ": `Item` cannot be returned as a response", &texts);
}

#[test]
fn a_type_that_is_no_argument_is_refused_with_what_can_be_one() {
    let code = "struct Item; async fn layer(mut request: Request, next: Next) -> Response {
        let item = request.extract::<Item>().await; next.run(request).await }";
    let message = ": `Item` cannot be an argument of a handler, or not at this place";
    let texts = [
        "made neither from a request nor from its head",
        "= note: an argument that takes the body (such as `Json`, `Bytes` or `Request`) comes last",
        "= note: implement `FromRequestParts` for an argument of your own\n",
    ];
    assert_refused("parts", code, message, &texts);

    let code = "struct Item; fn last<T: FromRequest>() {} fn check() { last::<Item>() }";
    let message = ": `Item` cannot be the last argument of a handler";
    let texts = [
        "not made from a request",
        "= note: implement `FromRequestParts` for it, or `FromRequest` if it takes the body\n",
    ];
    assert_refused("last", code, message, &texts);
}
