//! One large body, either way, on one connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::answer;

/// Bytes a piece: of a write, of a chunk, of a read.
const PIECE: usize = 64 * 1024;
/// How long either side may make no progress.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes between two calls of `progress`.
const PROGRESS: u64 = 64 << 20;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By Content-Length.
    Length,
    /// By a last chunk.
    Chunked,
}

/// Sends a body of that many bytes to `/upload` and takes the answer.
///
/// # Errors
/// If the server does not take it or does not answer by a 200.
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
    take_answer(&mut stream)
}

/// Makes `piece` what is sent for `size` bytes of body; it may be that already.
fn fill(piece: &mut Vec<u8>, size: usize, framing: Framing) {
    let (head, tail) = match framing {
        Framing::Length => (String::new(), ""),
        Framing::Chunked => (format!("{size:x}\r\n"), "\r\n"),
    };
    if piece.len() != head.len() + size + tail.len() {
        *piece = [head.as_bytes(), &vec![0; size], tail.as_bytes()].concat();
    }
}

fn take_answer(stream: &mut TcpStream) -> io::Result<()> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    while answer::size(&answer).is_none_or(|size| answer.len() < size) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            size => answer.extend_from_slice(&buffer[..size]),
        }
    }
    check(&answer)
}

/// Takes a body of that many bytes from `/download` or, chunked, from `/stream`.
///
/// # Errors
/// If the server does not send all of it, with the framing that was asked for.
pub fn download(
    server: SocketAddr,
    bytes: u64,
    framing: Framing,
    mut progress: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = connect(server)?;
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
    let mut told = 0;
    while let size @ 1.. = stream.read(&mut buffer)? {
        received += size as u64;
        if received / PROGRESS > told {
            told = received / PROGRESS;
            progress()?;
        }
    }
    match received >= bytes {
        true => Ok(()),
        false => Err(io::Error::other(format!("{received} of {bytes} bytes came"))),
    }
}

/// Takes the head of an answer, and returns how many bytes of body came with it and their framing.
fn take_head(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<(u64, Framing)> {
    let mut received = 0;
    let head = loop {
        if let Some(size) = answer::head_size(&buffer[..received]) {
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

fn check(answer: &[u8]) -> io::Result<()> {
    match answer::is_ok(answer) {
        true => Ok(()),
        false => Err(io::Error::other("the transfer was not answered by a 200")),
    }
}
