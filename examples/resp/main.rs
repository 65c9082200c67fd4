//! A server that speaks the Redis protocol (RESP 2): GET, SET, DEL, INCR, PING and ECHO, pipelined,
//! with the keys sharded over the loops.
//!
//! ```text
//! cargo run --release --example resp -- --listen 127.0.0.1:6380 --loops 2
//! redis-cli -p 6380 set greeting hello
//! redis-benchmark -p 6380 -t set,get -P 16 -q
//! ```
//!
//! With the feature `tls` it also speaks TLS:
//!
//! ```text
//! cargo run --release --features tls --example resp -- --tls-cert cert.pem --tls-key key.pem
//! redis-cli --tls --cacert cert.pem
//! ```
//!
//! Every loop owns the keys that hash to it. A command for a key of another loop is sent to that
//! loop, which sends back the reply. Commands that arrive together for the same loop are sent
//! together. Nothing is shared, so nothing is locked.
//!
//! | module | |
//! | --- | --- |
//! | `command` | bytes to commands, replies to bytes |
//! | `shards` | the keys of each loop, and commands for the keys of other loops |
//! | `tls`, `no_tls` | the server with and without the feature `tls` |
#![forbid(unsafe_code)]

mod command;
mod shards;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use brigade::net::TcpStream;
use brigade::server::until_draining;
use brigade::{Loops, TcpServer};
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use lexopt::ValueExt;

use crate::command::{ProtocolError, parse};
use crate::shards::Batch;

/// The size limit of a command.
const COMMAND_BYTES_MAX: usize = 1024 * 1024;
/// The buffer that a connection starts with.
const READ_BYTES: usize = 16 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let mut server = TcpServer::bind(options.listen)?;
    if let Some(loops) = options.loops {
        server = server.loops(loops);
    }
    match (options.certificate, options.key) {
        (None, None) => {
            announce(&server)?;
            server.run(handler::<TcpStream>)?;
        }
        (Some(certificate), Some(key)) => tls::run(server, &certificate, &key)?,
        _ => return Err("--tls-cert and --tls-key need each other".into()),
    }
    Ok(())
}

/// Prints the address of a server that is about to serve.
fn announce<S>(server: &TcpServer<S>) -> io::Result<()> {
    println!("listening on {} ({} event loops)", server.local_addr()?, server.loop_count());
    Ok(())
}

/// Returns the handler of a loop's connections.
fn handler<S>() -> impl AsyncFn(S, SocketAddr) + 'static
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let loops = Loops::current();
    async move |mut stream: S, peer| {
        let mut served = serve(&mut stream, &loops).await;
        if served.is_ok() {
            served = stream.close().await;
        }
        if let Err(error) = served {
            eprintln!("{peer}: {error}");
        }
    }
}

struct Options {
    listen: String,
    loops: Option<usize>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

fn options() -> Result<Options, lexopt::Error> {
    let listen = "127.0.0.1:6379".to_owned();
    let mut options = Options { listen, loops: None, certificate: None, key: None };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("listen") => options.listen = arguments.value()?.string()?,
            lexopt::Arg::Long("loops") => options.loops = Some(arguments.value()?.parse()?),
            lexopt::Arg::Long("tls-cert") => options.certificate = Some(arguments.value()?.into()),
            lexopt::Arg::Long("tls-key") => options.key = Some(arguments.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

/// Serves one connection, until the client closes it or breaks the protocol, or the server shuts
/// down.
async fn serve<S>(stream: &mut S, loops: &Loops) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut received = vec![0; READ_BYTES];
    let mut filled = 0;
    let mut replies = Vec::new();
    loop {
        match until_draining(stream.read(&mut received[filled..])).await {
            None | Some(Ok(0)) => return Ok(()),
            Some(read) => filled += read?,
        }
        let (used, outcome) = execute(&received[..filled], loops, &mut replies).await?;
        if let Err(error) = outcome {
            replies.extend(error.reply());
        }
        stream.write_all(&replies).await?;
        stream.flush().await?;
        replies.clear();
        if outcome.is_err() {
            return Ok(());
        }
        received.copy_within(used..filled, 0);
        filled -= used;
        if filled == received.len() {
            if filled >= COMMAND_BYTES_MAX {
                return stream.write_all(&ProtocolError::TooLarge.reply()).await;
            }
            received.resize(2 * filled, 0);
        }
    }
}

/// Executes the complete commands at the front of `received` and appends their replies, in order.
/// Returns how many bytes were used, and whether the rest breaks the protocol.
async fn execute(
    received: &[u8],
    loops: &Loops,
    replies: &mut Vec<u8>,
) -> io::Result<(usize, Result<(), ProtocolError>)> {
    let mut batch = Batch::new(loops, std::mem::take(replies));
    let mut used = 0;
    let outcome = loop {
        match parse(&received[used..]) {
            Ok(Some((command, length))) => {
                batch.push(&command);
                used += length;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    *replies = batch.finish().await?;
    Ok((used, outcome))
}
