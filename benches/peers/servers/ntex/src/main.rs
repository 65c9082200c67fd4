//! ntex: an accept thread and one single-threaded worker a loop, over tokio.

use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use ntex::SharedCfg;
use ntex::http::HttpServiceConfig;
use ntex::http::body::{Body, BoxedBodyStream, SizedStream};
use ntex::http::error::PayloadError;
use ntex::time::{self, Seconds};
use ntex::util::Bytes;
use ntex::web::types::{Path, Payload};
use ntex::web::{self, App, HttpResponse, HttpServer, ServiceConfig};
use peer_common::{HELLO, KEEP_ALIVE_SECONDS, Options, TEXT};

#[ntex::main]
async fn main() -> io::Result<()> {
    let options = Options::from_args();
    let keep_alive = Seconds::new(KEEP_ALIVE_SECONDS as u16);
    let server = HttpServer::new(async || App::new().configure(routes))
        .workers(options.loops)
        .config(SharedCfg::new("peer").add(HttpServiceConfig::new().set_keepalive(keep_alive)))
        .listen(peer_common::listen(options.listen)?)?;
    println!("listening on http://{} (ntex over tokio)", options.listen);
    server.run().await
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/", web::get().to(async || text(HELLO)))
        .route("/delay/{seconds}", web::get().to(delay))
        .route("/block/{milliseconds}", web::get().to(block))
        .route("/users/{user}", web::get().to(user))
        .route("/users/{user}/posts", web::get().to(user))
        .route("/users/{user}/posts/{post}", web::get().to(user_post))
        .route("/orgs/{org}/repos/{repo}/issues/{issue}", web::get().to(issue))
        .route("/upload", web::post().to(upload))
        .route("/download/{bytes}", web::get().to(download))
        .route("/stream/{bytes}", web::get().to(stream));
}

fn text(body: impl Into<Body>) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body(body)
}

async fn delay(seconds: Path<u64>) -> HttpResponse {
    time::sleep(Duration::from_secs(*seconds)).await;
    text(HELLO)
}

async fn block(milliseconds: Path<u64>) -> HttpResponse {
    std::thread::sleep(Duration::from_millis(*milliseconds));
    text(HELLO)
}

async fn user(user: Path<String>) -> HttpResponse {
    text(user.into_inner())
}

async fn user_post(path: Path<(String, String)>) -> HttpResponse {
    let (user, post) = path.into_inner();
    text(format!("{user}/{post}"))
}

async fn issue(path: Path<(String, String, String)>) -> HttpResponse {
    let (org, repo, issue) = path.into_inner();
    text(format!("{org}/{repo}/{issue}"))
}

async fn upload(mut body: Payload) -> Result<HttpResponse, PayloadError> {
    let mut total = 0;
    while let Some(piece) = body.next().await {
        total += piece?.len();
    }
    Ok(text(total.to_string()))
}

async fn download(bytes: Path<u64>) -> HttpResponse {
    text(Body::from_message(SizedStream::new(*bytes, zeros(*bytes))))
}

async fn stream(bytes: Path<u64>) -> HttpResponse {
    text(Body::from_message(BoxedBodyStream::new(zeros(*bytes))))
}

fn zeros(bytes: u64) -> impl Stream<Item = Result<Bytes, Rc<dyn Error>>> + Unpin {
    stream::iter(peer_common::pieces(bytes).map(|piece| Ok(Bytes::from_static(piece))))
}
