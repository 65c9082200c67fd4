//! ntex over rustls: an accept thread and one single-threaded worker a loop, over tokio.

use std::error::Error;
use std::io;
use std::rc::Rc;

use futures_util::stream;
use ntex::SharedCfg;
use ntex::http::HttpServiceConfig;
use ntex::http::body::{Body, SizedStream};
use ntex::time::Seconds;
use ntex::util::Bytes;
use ntex::web::types::Path;
use ntex::web::{self, App, HttpResponse, HttpServer, ServiceConfig};
use peer_common::{HELLO, KEEP_ALIVE_SECONDS, Options, TEXT};

#[ntex::main]
async fn main() -> io::Result<()> {
    let options = Options::from_args();
    let keep_alive = Seconds::new(KEEP_ALIVE_SECONDS as u16);
    let server = HttpServer::new(async || App::new().configure(routes))
        .workers(options.loops)
        .config(SharedCfg::new("peer").add(HttpServiceConfig::new().set_keepalive(keep_alive)))
        .listen_rustls(peer_common::listen(options.listen)?, peer_tls_common::config()?)?;
    println!("listening on https://{} (ntex over tokio)", options.listen);
    server.run().await
}

fn routes(config: &mut ServiceConfig) {
    let hello = async || HttpResponse::Ok().content_type(TEXT).body(HELLO);
    config.route("/", web::get().to(hello)).route("/download/{bytes}", web::get().to(download));
}

async fn download(bytes: Path<u64>) -> HttpResponse {
    let zeros = peer_common::pieces(*bytes).map(|piece| Ok(Bytes::from_static(piece)));
    let zeros = stream::iter(zeros.map(|piece: Result<_, Rc<dyn Error>>| piece));
    let body = Body::from_message(SizedStream::new(*bytes, zeros));
    HttpResponse::Ok().content_type(TEXT).body(body)
}
