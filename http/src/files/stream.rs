//! The body of a response from a file, read on the blocking pool.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use brigade_runtime::{BlockingHandle, spawn_blocking};
use bytes::Bytes;
use futures_core::Stream;

/// About what a socket takes at once, and enough to make the cost of the pool negligible.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Reads the next chunk of `file`, of which `left` bytes are still to be sent. Blocks.
///
/// # Errors
/// `UnexpectedEof` if the file has fewer bytes, and the errors of read(2).
pub(super) fn read_chunk(mut file: &File, left: u64) -> io::Result<Bytes> {
    let length = left.min(CHUNK_BYTES);
    let mut chunk = Vec::with_capacity(length as usize);
    Read::by_ref(&mut file).take(length).read_to_end(&mut chunk)?;
    match chunk.len() as u64 == length {
        true => Ok(chunk.into()),
        false => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter while it was sent",
        )),
    }
}

/// A stream of the chunks of a file. While a chunk is sent, the next one is read.
pub(super) struct FileStream {
    file: Arc<File>,
    /// The first chunk, until it is returned.
    ready: Bytes,
    /// The chunk that is being read.
    reading: Option<BlockingHandle<io::Result<Bytes>>>,
    /// The number of bytes after that chunk.
    left: u64,
}

impl FileStream {
    /// Creates a stream of `length` bytes, which begin with `first` and continue at the position of
    /// `file`.
    pub(super) fn new(file: File, first: Bytes, length: u64) -> Self {
        let left = length - first.len() as u64;
        Self { file: Arc::new(file), ready: first, reading: None, left }
    }

    /// Starts to read the next chunk, unless one is being read or none is left.
    fn read_ahead(&mut self) {
        let left = self.left;
        if left > 0 && self.reading.is_none() {
            let file = self.file.clone();
            self.left -= left.min(CHUNK_BYTES);
            self.reading = Some(spawn_blocking(move || read_chunk(&file, left)));
        }
    }
}

impl Stream for FileStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.read_ahead();
        if !self.ready.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ready))));
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read =
            ready!(Pin::new(reading).poll(cx)).unwrap_or_else(|panic| Err(io::Error::other(panic)));
        self.reading = None;
        match read {
            Ok(_) => self.read_ahead(),
            // An error ends the stream.
            Err(_) => self.left = 0,
        }
        Poll::Ready(Some(read))
    }
}
