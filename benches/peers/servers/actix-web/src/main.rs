//! actix-web: an accept thread and one single-threaded worker a loop.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use actix_files::Files;
use actix_web::body::SizedStream;
use actix_web::rt::{System, time};
use actix_web::web::{self, Bytes, Path, Payload, ServiceConfig};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer};
use actix_ws::Message;
use futures_util::{Stream, StreamExt, stream};
use peer_common::{HELLO, KEEP_ALIVE_SECONDS, Options, TEXT};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    System::new().block_on(async {
        let server = HttpServer::new(|| App::new().configure(routes))
            .workers(options.loops)
            .keep_alive(Duration::from_secs(KEEP_ALIVE_SECONDS))
            .listen(peer_common::listen(options.listen)?)?;
        println!("listening on http://{} (actix-rt)", options.listen);
        server.run().await
    })
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
        .route("/stream/{bytes}", web::get().to(stream))
        .route("/json", web::get().to(async || HttpResponse::Ok().json(peer_common::page())))
        .route("/ws", web::get().to(websocket))
        .service(Files::new("/static", peer_common::files()));
}

fn text(body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body(body.into())
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

async fn upload(mut body: Payload) -> Result<HttpResponse, Error> {
    let mut total = 0;
    while let Some(piece) = body.next().await {
        total += piece?.len();
    }
    Ok(text(total.to_string()))
}

async fn download(bytes: Path<u64>) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body(SizedStream::new(*bytes, zeros(*bytes)))
}

async fn stream(bytes: Path<u64>) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).streaming(zeros(*bytes))
}

async fn websocket(request: HttpRequest, body: Payload) -> Result<HttpResponse, Error> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = messages.recv().await {
            let sent = match message {
                Message::Text(text) => session.text(text).await,
                Message::Binary(bytes) => session.binary(bytes).await,
                _ => Ok(()),
            };
            if sent.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

fn zeros(bytes: u64) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
    stream::iter(peer_common::pieces(bytes).map(|piece| Ok(Bytes::from_static(piece))))
}
