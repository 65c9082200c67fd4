//! A TCP echo on the bare runtime: one loop, a task per connection.
//!
//! ```text
//! cargo run --release --example echo -- 127.0.0.1:7007
//! printf hello | nc -N 127.0.0.1 7007
//! ```

use std::io;

use brigade::net::{TcpListener, TcpStream};
use brigade::signal::{SignalKind, Signals};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let address = address.parse().map_err(io::Error::other)?;
    brigade::run(async move {
        let listener = TcpListener::bind(address)?;
        println!("echoing on {}", listener.local_addr()?);
        let accepting = brigade::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await?;
                brigade::spawn(async move {
                    if let Err(error) = echo(stream).await {
                        eprintln!("{peer}: {error}");
                    }
                })
                .detach();
            }
        });
        let signals = Signals::new([SignalKind::Interrupt, SignalKind::Terminate])?;
        brigade::spawn(async move {
            let _ = signals.recv().await;
            accepting.abort();
            let stopped: Result<io::Result<()>, _> = accepting.await;
            stopped.unwrap_or(Ok(()))
        })
        .await
        .map_err(io::Error::other)?
    })
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}
