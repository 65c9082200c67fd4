//! The router of axum's server, on brigade's loops.

use std::io;

use brigade::bridge::send;
use brigade::http::{Router, Server};
use brigade::time::sleep;
use peer_common::Options;

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let server = Server::bind(options.listen)?.loops(options.loops).pin(false);
    println!("listening on http://{} (epoll)", options.listen);
    let axum = || peer_axum_service::router(|time| send(async move { sleep(time).await }));
    server.run(move || Router::new().fallback_service(axum())).map(drop)
}
