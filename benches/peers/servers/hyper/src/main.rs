//! hyper on tokio: the current-thread runtime for one loop, the work-stealing one for more.

use std::io;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use peer_common::Options;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let gather = !peer_common::bodies_are_large();
    runtime(options.loops)?.block_on(async {
        let listener = TcpListener::from_std(peer_common::listen(options.listen)?)?;
        println!("listening on http://{} (tokio)", options.listen);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream, gather));
        }
    })
}

fn runtime(loops: usize) -> io::Result<Runtime> {
    let mut builder = match loops {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(loops).enable_all().build()
}

async fn serve(stream: TcpStream, gather: bool) {
    let service = service_fn(|request| peer_hyper_service::respond(request, tokio::time::sleep));
    if stream.set_nodelay(true).is_ok() {
        // A client that disconnects within a request is not an error of the server.
        let _ = http1::Builder::new()
            .pipeline_flush(gather)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }
}
