//! A server that speaks the Redis protocol (RESP 2): GET, SET, DEL, INCR, PING and ECHO, pipelined,
//! with the keys sharded over the loops.
//!
//! ```text
//! cargo run --release --example resp -- --listen 127.0.0.1:6380 --loops 2
//! redis-cli -p 6380 set greeting hello
//! redis-benchmark -p 6380 -t set,get -P 16 -q
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
#![forbid(unsafe_code)]

mod command;
mod shards;

use std::error::Error;
use std::io;

use brigade::net::TcpStream;
use brigade::server::until_draining;
use brigade::{Loops, TcpServer};
use lexopt::ValueExt;

use crate::command::{ProtocolError, parse};
use crate::shards::Batch;

/// The size limit of a command.
const COMMAND_BYTES_MAX: usize = 1024 * 1024;
/// The buffer that a connection starts with.
const READ_BYTES: usize = 16 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let (listen, loops) = options()?;
    let mut server = TcpServer::bind(listen)?;
    if let Some(loops) = loops {
        server = server.loops(loops);
    }
    println!("listening on {} ({} event loops)", server.local_addr()?, server.loop_count());
    server.run(|| {
        let loops = Loops::current();
        async move |stream, peer| {
            if let Err(error) = serve(stream, &loops).await {
                eprintln!("{peer}: {error}");
            }
        }
    })?;
    Ok(())
}

fn options() -> Result<(String, Option<usize>), lexopt::Error> {
    let (mut listen, mut loops) = ("127.0.0.1:6379".to_owned(), None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("listen") => listen = arguments.value()?.string()?,
            lexopt::Arg::Long("loops") => loops = Some(arguments.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((listen, loops))
}

/// Serves one connection, until the client closes it or breaks the protocol, or the server shuts
/// down.
async fn serve(stream: TcpStream, loops: &Loops) -> io::Result<()> {
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
