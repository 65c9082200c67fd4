//! The body of an answer from a file, read on the blocking pool.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use brigade_runtime::{BlockingHandle, spawn_blocking};
use bytes::Bytes;
use futures_core::Stream;

/// As much as a socket takes at once, and enough that the way to the pool is not what costs.
const CHUNK_BYTES: u64 = 64 * 1024;

/// The next chunk of `file`, where `left` bytes of it are to come. Blocks.
///
/// # Errors
/// `UnexpectedEof` if there are less, and those of read(2).
pub(super) fn read_chunk(mut file: &File, left: u64) -> io::Result<Bytes> {
    let length = left.min(CHUNK_BYTES);
    let mut chunk = Vec::with_capacity(length as usize);
    Read::by_ref(&mut file).take(length).read_to_end(&mut chunk)?;
    match chunk.len() as u64 == length {
        true => Ok(chunk.into()),
        false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
    }
}

/// Chunks of a file from where it stands. While one of them is sent, the next one is read, and
/// no other.
pub(super) struct FileStream {
    file: Arc<File>,
    /// The chunk that is there, if one is.
    ready: Bytes,
    reading: Option<BlockingHandle<io::Result<Bytes>>>,
    /// What is neither there nor being read.
    left: u64,
}

impl FileStream {
    /// `length` bytes of `file`, of which it stands behind `first`.
    pub(super) fn new(file: File, first: Bytes, length: u64) -> Self {
        let left = length - first.len() as u64;
        Self { file: Arc::new(file), ready: first, reading: None, left }
    }

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
            // Nothing comes after an error.
            Err(_) => self.left = 0,
        }
        Poll::Ready(Some(read))
    }
}
