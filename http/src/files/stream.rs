//! The body of a response from a file: what is in the page cache is read on the loop, the rest on
//! threads.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use brigade_runtime::{BlockingHandle, spawn_file_read};
use bytes::Bytes;
use futures_core::Stream;

use crate::files::kernel::{can_send, is_cached, read_now};
use crate::message::body_error::BoxError;
use crate::message::file_error::FileError;
use crate::message::part::{FilePart, OutgoingItem, OutgoingPart, Part, PartSource};

/// About what a socket takes at once, and enough to make the cost of a thread negligible.
const CHUNK_BYTES: u64 = 64 * 1024;

/// From this length on bytes are copied by the system. Fewer are sent together with the head.
const SENDFILE_BYTES_MIN: u64 = 32 * 1024;
/// The most bytes of one call of sendfile(2).
const WINDOW_BYTES: u64 = 512 * 1024;

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

/// Returns the first bytes of `part` that the system can copy to a socket without waiting for a
/// disk, if there are any and they are so many that it is worth a system call of its own.
/// The bytes before `cached_until` are known to be in the page cache.
pub(super) fn window(file: &File, part: &Range<u64>, cached_until: u64) -> Option<Range<u64>> {
    let window = part.start..part.end.min(part.start + WINDOW_BYTES);
    let is_large = window.end - window.start >= SENDFILE_BYTES_MIN;
    let is_known = window.end <= cached_until;
    (is_large && can_send() && (is_known || is_cached(file, &window))).then_some(window)
}

fn chunk_length(part: &Range<u64>) -> usize {
    CHUNK_BYTES.min(part.end - part.start) as usize
}

fn shortened(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Shortened.into(),
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
    /// The bytes before this offset are known to be in the page cache.
    cached_until: u64,
}

impl FileStream {
    /// Creates a stream of `first`, and after it the bytes `left` of `file`, of which those before
    /// `cached_until` are known to be in the page cache.
    pub(super) fn new(file: File, first: Bytes, left: Range<u64>, cached_until: u64) -> Self {
        Self { file: Arc::new(file), ready: first, reading: None, left, cached_until }
    }

    /// Takes the next bytes off the stream for the system to copy, if it need not wait for them.
    fn take_window(&mut self) -> Option<FilePart> {
        if !self.ready.is_empty() || self.reading.is_some() {
            return None;
        }
        let left = window(&self.file, &self.left, self.cached_until)?;
        self.left.start = left.end;
        Some(FilePart { file: self.file.clone(), left })
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
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

    /// Reads a chunk if it needs no thread. Returns `None` if it does, and is being read.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(chunk) = read_chunk_now(&self.file, &self.left)? {
            self.left.start += chunk.len() as u64;
            return Ok(Some(chunk));
        }
        let (file, part) = (self.file.clone(), self.left.clone());
        self.left.start += chunk_length(&part) as u64;
        self.reading = Some(spawn_file_read(move || read_chunk(&file, &part)));
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
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx).map_ok(Part::Data).map_err(Into::into)
    }
}

impl PartSource for FileStream {
    fn poll_outgoing(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<OutgoingItem>> {
        match self.take_window() {
            Some(part) => Poll::Ready(Some(Ok(OutgoingPart::File(part)))),
            None => self.poll_chunk(cx).map_ok(OutgoingPart::Data).map_err(Into::into),
        }
    }
}
