//! A TCP echo server: brigade's `TcpServer`.

use std::io;

use brigade::TcpServer;
use brigade::net::TcpStream;
use peer_common::{ECHO_BUFFER, Options};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let server = TcpServer::bind(options.listen)?.loops(options.loops).pin(false);
    println!("listening on {} (epoll)", options.listen);
    // A client that disconnects is not an error of the server.
    server.run(|| async |stream, _| drop(echo(stream).await)).map(drop)
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; ECHO_BUFFER];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}
