//! The body of a response from a file: what is in the page cache is read on the loop, the rest on
//! threads.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use brigade_runtime::{BlockingHandle, spawn_blocking};
use bytes::Bytes;
use futures_core::Stream;

use crate::files::kernel::read_now;

/// About what a socket takes at once, and enough to make the cost of a thread negligible.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Reads the first chunk of `part` as far as it is in the page cache. Returns `None` if that is not
/// at all, or is not known.
///
/// # Errors
/// `UnexpectedEof` if the file ends before the part, and the errors of preadv2(2).
pub(super) fn read_chunk_now(file: &File, part: &Range<u64>) -> io::Result<Option<Bytes>> {
    read_now(file, part.start, chunk_length(part)).map_err(shortened)
}

/// Reads the first chunk of `part`. Blocks.
///
/// # Errors
/// `UnexpectedEof` if the file has fewer bytes, and the errors of pread(2).
pub(super) fn read_chunk(file: &File, part: &Range<u64>) -> io::Result<Bytes> {
    let mut chunk = vec![0; chunk_length(part)];
    file.read_exact_at(&mut chunk, part.start).map_err(shortened)?;
    Ok(chunk.into())
}

fn chunk_length(part: &Range<u64>) -> usize {
    CHUNK_BYTES.min(part.end - part.start) as usize
}

fn shortened(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the file became shorter while it was sent")
        }
        _ => error,
    }
}

/// A stream of the chunks of a file. If one has to be read on a thread, the next one is read while
/// it is sent.
pub(super) struct FileStream {
    file: Arc<File>,
    /// The chunk that is returned next, or nothing.
    ready: Bytes,
    /// The chunk that is being read on a thread.
    reading: Option<BlockingHandle<io::Result<Bytes>>>,
    /// What follows these chunks.
    left: Range<u64>,
}

impl FileStream {
    /// Creates a stream of `first`, and after it the bytes `left` of `file`.
    pub(super) fn new(file: File, first: Bytes, left: Range<u64>) -> Self {
        Self { file: Arc::new(file), ready: first, reading: None, left }
    }

    /// Reads a chunk if it needs no thread. Returns `None` if it does, and is being read.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(chunk) = read_chunk_now(&self.file, &self.left)? {
            self.left.start += chunk.len() as u64;
            return Ok(Some(chunk));
        }
        let (file, part) = (self.file.clone(), self.left.clone());
        self.left.start += chunk_length(&part) as u64;
        self.reading = Some(spawn_blocking(move || read_chunk(&file, &part)));
        Ok(None)
    }

    /// Reads the next chunk before it is wanted.
    fn read_ahead(&mut self) {
        // After an error the chunk is read again once it is wanted.
        if !self.left.is_empty()
            && let Ok(Some(chunk)) = self.read()
        {
            self.ready = chunk;
        }
    }

    /// An error ends the stream.
    fn fail(&mut self, error: io::Error) -> Poll<Option<io::Result<Bytes>>> {
        self.left.start = self.left.end;
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for FileStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.ready.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ready))));
        }
        if self.reading.is_none() {
            if self.left.is_empty() {
                return Poll::Ready(None);
            }
            match self.read() {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        match read.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(chunk) => {
                self.read_ahead();
                Poll::Ready(Some(Ok(chunk)))
            }
            Err(error) => self.fail(error),
        }
    }
}
