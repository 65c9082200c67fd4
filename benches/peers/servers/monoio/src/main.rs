//! hyper on monoio: one runtime a loop, over io_uring where the kernel offers it, else over epoll.

use std::io;
use std::net::SocketAddr;
use std::thread;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use monoio::io::IntoPollIo;
use monoio::net::{TcpListener, TcpStream};
use monoio::{FusionDriver, RuntimeBuilder};
use monoio_compat::hyper::MonoioIo;
use peer_common::Options;

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let driver = if monoio::utils::detect_uring() { "io_uring" } else { "epoll" };
    println!("listening on http://{} (monoio over {driver})", options.listen);
    let loops: Vec<_> =
        (0..options.loops).map(|_| thread::spawn(move || run_loop(options.listen))).collect();
    loops.into_iter().try_for_each(|each| each.join().expect("a loop that does not panic"))
}

fn run_loop(address: SocketAddr) -> io::Result<()> {
    let gather = !peer_common::bodies_are_large();
    let mut runtime = RuntimeBuilder::<FusionDriver>::new().enable_timer().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(peer_common::listen(address)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(serve(stream, gather));
        }
    })
}

async fn serve(stream: TcpStream, gather: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request| peer_hyper_service::respond(request, monoio::time::sleep));
    // A client that disconnects within a request is not an error of the server.
    let _ = http1::Builder::new()
        .pipeline_flush(gather)
        .serve_connection(MonoioIo::new(stream.into_poll_io()?), service)
        .await;
    Ok(())
}
