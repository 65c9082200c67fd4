//! A TCP echo server: tokio's current-thread runtime.

use std::io;

use peer_common::{ECHO_BUFFER, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let options = Options::from_args();
    Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::from_std(peer_common::listen(options.listen)?)?;
        println!("listening on {} (tokio)", options.listen);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; ECHO_BUFFER];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}
