//! A TCP echo server on as many loops as there are cores.
//!
//! ```text
//! cargo run --release --example echo -- 127.0.0.1:7007
//! printf hello | nc -N 127.0.0.1 7007
//! ```

use std::io;

use brigade::TcpServer;
use brigade::net::TcpStream;
use brigade::server::until_draining;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let server = TcpServer::bind(address)?;
    println!("echoing on {}", server.local_addr()?);
    server.run(|| {
        async |stream, peer| {
            if let Err(error) = echo(stream).await {
                eprintln!("{peer}: {error}");
            }
        }
    })?;
    Ok(())
}

/// Sends back what it receives, until the peer closes its side or the server shuts down.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    while let Some(read) = until_draining(stream.read(&mut buffer)).await {
        match read? {
            0 => break,
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
    Ok(())
}
