//! actix-web over rustls: an accept thread and one single-threaded worker a loop.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::rt::System;
use actix_web::web::{self, Bytes, Path, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use futures_util::stream;
use peer_common::{HELLO, KEEP_ALIVE_SECONDS, Options, TEXT};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let config = peer_tls_common::config()?;
    System::new().block_on(async {
        let server = HttpServer::new(|| App::new().configure(routes))
            .workers(options.loops)
            .keep_alive(Duration::from_secs(KEEP_ALIVE_SECONDS))
            .listen_rustls_0_23(peer_common::listen(options.listen)?, config)?;
        println!("listening on https://{} (actix-rt)", options.listen);
        server.run().await
    })
}

fn routes(config: &mut ServiceConfig) {
    let hello = async || HttpResponse::Ok().content_type(TEXT).body(HELLO);
    config.route("/", web::get().to(hello)).route("/download/{bytes}", web::get().to(download));
}

async fn download(bytes: Path<u64>) -> HttpResponse {
    let zeros = peer_common::pieces(*bytes).map(|piece| Ok(Bytes::from_static(piece)));
    let zeros = stream::iter(zeros.map(|piece: Result<_, Infallible>| piece));
    HttpResponse::Ok().content_type(TEXT).body(SizedStream::new(*bytes, zeros))
}
