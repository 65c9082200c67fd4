//! One large body, in either direction, on one connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::response;
use super::tls::TlsClient;
use super::wire::Wire;

/// The size of a write, a chunk and a read, in bytes.
const PIECE: usize = 64 * 1024;
/// How long either side may make no progress.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes between two calls of `progress`.
const PROGRESS: u64 = 64 << 20;

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By Content-Length.
    Length,
    /// By a last chunk.
    Chunked,
}

/// Sends a body of that many bytes to `/upload`, and receives the response.
///
/// # Errors
/// If the server does not accept it or the response is not a 200.
pub fn upload(
    server: SocketAddr,
    bytes: u64,
    framing: Framing,
    mut progress: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = connect(server)?;
    let header = match framing {
        Framing::Length => format!("Content-Length: {bytes}"),
        Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
    };
    let head = format!("POST /upload HTTP/1.1\r\nHost: {server}\r\n{header}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let (mut sent, mut piece) = (0, Vec::new());
    while sent < bytes {
        let size = PIECE.min((bytes - sent) as usize);
        fill(&mut piece, size, framing);
        stream.write_all(&piece)?;
        sent += size as u64;
        if sent % PROGRESS == 0 {
            progress()?;
        }
    }
    if framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    take_response(&mut stream)
}

/// Fills `piece` with the bytes to send for `size` bytes of body, unless it has them already.
fn fill(piece: &mut Vec<u8>, size: usize, framing: Framing) {
    let (head, tail) = match framing {
        Framing::Length => (String::new(), ""),
        Framing::Chunked => (format!("{size:x}\r\n"), "\r\n"),
    };
    if piece.len() != head.len() + size + tail.len() {
        *piece = [head.as_bytes(), &vec![0; size], tail.as_bytes()].concat();
    }
}

fn take_response(stream: &mut TcpStream) -> io::Result<()> {
    let (mut received, mut buffer) = (Vec::new(), [0; 1024]);
    while response::size(&received).is_none_or(|size| received.len() < size) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            size => received.extend_from_slice(&buffer[..size]),
        }
    }
    check(&received)
}

/// Receives a body of that many bytes from `/download` or, chunked, from `/stream`.
///
/// # Errors
/// If the server does not send all of it, or sends it with another framing.
pub fn download(
    server: SocketAddr,
    bytes: u64,
    framing: Framing,
    progress: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    receive(Wire::Plain(connect(server)?), server, bytes, framing, progress)
}

/// Receives a body of that many bytes from `/download` over TLS.
///
/// # Errors
/// As [`download`].
pub fn download_tls(server: SocketAddr, bytes: u64, client: &TlsClient) -> io::Result<()> {
    let wire = Wire::new(connect(server)?, Some(client))?;
    receive(wire, server, bytes, Framing::Length, || Ok(()))
}

fn receive(
    mut stream: Wire,
    server: SocketAddr,
    bytes: u64,
    framing: Framing,
    mut progress: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let path = if framing == Framing::Length { "download" } else { "stream" };
    let head =
        format!("GET /{path}/{bytes} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut buffer = vec![0; PIECE];
    let (begun, found) = take_head(&mut stream, &mut buffer)?;
    if found != framing {
        return Err(io::Error::other(format!("/{path} is framed as {found:?}")));
    }
    let mut received = begun;
    let mut reported = 0;
    while let size @ 1.. = stream.read(&mut buffer)? {
        received += size as u64;
        if received / PROGRESS > reported {
            reported = received / PROGRESS;
            progress()?;
        }
    }
    match received >= bytes {
        true => Ok(()),
        false => Err(io::Error::other(format!("{received} of {bytes} bytes came"))),
    }
}

/// Receives the head of a response. Returns how many bytes of the body came too, and the framing.
fn take_head(stream: &mut Wire, buffer: &mut [u8]) -> io::Result<(u64, Framing)> {
    let mut received = 0;
    let head = loop {
        if let Some(size) = response::head_size(&buffer[..received]) {
            break size;
        }
        match stream.read(&mut buffer[received..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            size => received += size,
        }
    };
    check(&buffer[..head])?;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let chunked = text.contains("transfer-encoding: chunked");
    let framing = if chunked { Framing::Chunked } else { Framing::Length };
    Ok(((received - head) as u64, framing))
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn check(head: &[u8]) -> io::Result<()> {
    match response::is_ok(head) {
        true => Ok(()),
        false => Err(io::Error::other("the response to the transfer was not a 200")),
    }
}
