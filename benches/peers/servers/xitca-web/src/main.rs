//! xitca-web: one single-threaded worker a loop.
//!
//! It is not part of the body scenario, so the three body routes are left out.

use std::io;
use std::time::Duration;

use peer_common::{HELLO, KEEP_ALIVE_SECONDS, Options, TEXT};
use xitca_web::body::ResponseBody;
use xitca_web::handler::handler_service;
use xitca_web::http::header::{CONTENT_TYPE, HeaderValue};
use xitca_web::http::{StatusCode, WebResponse};
use xitca_web::route::get;
use xitca_web::{App, WebContext};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let server = App::new()
        .at("/", get(handler_service(hello)))
        .at("/delay/{seconds}", get(handler_service(delay)))
        .at("/block/{milliseconds}", get(handler_service(block)))
        .at("/users/{user}", get(handler_service(params)))
        .at("/users/{user}/posts", get(handler_service(params)))
        .at("/users/{user}/posts/{post}", get(handler_service(params)))
        .at("/orgs/{org}/repos/{repo}/issues/{issue}", get(handler_service(params)))
        .serve()
        .worker_threads(options.loops)
        .keep_alive_timeout(Duration::from_secs(KEEP_ALIVE_SECONDS))
        .listen(peer_common::listen(options.listen)?)?;
    println!("listening on http://{} (xitca-web over tokio)", options.listen);
    server.run().wait()
}

async fn hello() -> WebResponse {
    text(HELLO)
}

async fn delay(context: &WebContext<'_>) -> WebResponse {
    match number(context) {
        Some(seconds) => {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            text(HELLO)
        }
        None => bad_request(),
    }
}

async fn block(context: &WebContext<'_>) -> WebResponse {
    match number(context) {
        Some(milliseconds) => {
            std::thread::sleep(Duration::from_millis(milliseconds));
            text(HELLO)
        }
        None => bad_request(),
    }
}

async fn params(context: &WebContext<'_>) -> WebResponse {
    let values: Vec<_> = context.req().body().params().iter().map(|(_, value)| value).collect();
    text(values.join("/"))
}

fn number(context: &WebContext<'_>) -> Option<u64> {
    context.req().body().params().iter().next()?.1.parse().ok()
}

fn text(body: impl Into<ResponseBody>) -> WebResponse {
    let mut response = WebResponse::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

fn bad_request() -> WebResponse {
    let mut response = text("bad request");
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
