//! A TCP echo server: monoio, over io_uring where the kernel offers it, else over epoll.

use std::io;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{FusionDriver, RuntimeBuilder};
use peer_common::{ECHO_BUFFER, Options};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let driver = if monoio::utils::detect_uring() { "io_uring" } else { "epoll" };
    RuntimeBuilder::<FusionDriver>::new().build()?.block_on(async {
        let listener = TcpListener::from_std(peer_common::listen(options.listen)?)?;
        println!("listening on {} (monoio over {driver})", options.listen);
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; ECHO_BUFFER];
    loop {
        let (read, filled) = stream.read(buffer).await;
        let read = read?;
        if read == 0 {
            return Ok(());
        }
        let (written, slice) = stream.write_all(filled.slice(..read)).await;
        written?;
        buffer = slice.into_inner();
    }
}
