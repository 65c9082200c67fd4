//! The encoders and decoders of content codings, and how they are run: a piece at a time, with an
//! output buffer of the thread, so that a body that waits owns none.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use bytes::{Buf, Bytes};
use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::{CParameter, DParameter};
use compression_codecs::{
    BrotliDecoder, BrotliEncoder, DecodeV2, EncodeV2, GzipDecoder, GzipEncoder, ZstdDecoder,
    ZstdEncoder,
};

use crate::message::content_coding::ContentCoding;

/// How much input is passed to a codec at once. This and [`UNITS`] bound the time of a poll.
const INPUT_BYTES_MAX: usize = 8 * 1024;
/// How much output a codec returns at once.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// How many units of the task's budget a piece takes, as many as an operation of a socket.
const UNITS: u32 = 4;

/// Binary logarithms of the windows of encoders: 512 KiB. Larger ones compress large bodies a
/// little better, and cost each body that is being sent as much memory.
const WINDOW_LOG: u8 = 19;
/// Levels for content that is compressed each time it is sent. Higher ones are for content that is
/// compressed once.
const BROTLI_QUALITY: i32 = 4;
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: i32 = 6;
/// The window that a decoder of zstd has to accept, 8 MiB, and may not exceed (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

thread_local! {
    static OUTPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; OUTPUT_BYTES_MAX]);
}

pub(super) fn encoder(coding: ContentCoding) -> Box<dyn EncodeV2> {
    match coding {
        ContentCoding::Gzip => Box::new(GzipEncoder::new(Level::Precise(GZIP_LEVEL).into())),
        ContentCoding::Brotli => {
            let quality = EncoderParams::default().quality(Level::Precise(BROTLI_QUALITY));
            Box::new(BrotliEncoder::new(quality.window_size(WINDOW_LOG.into())))
        }
        ContentCoding::Zstd => {
            let window = CParameter::window_log(WINDOW_LOG.into());
            Box::new(ZstdEncoder::new_with_params(ZSTD_LEVEL, &[window]))
        }
    }
}

pub(super) fn decoder(coding: ContentCoding) -> Box<dyn DecodeV2> {
    match coding {
        ContentCoding::Gzip => Box::new(GzipDecoder::new()),
        ContentCoding::Brotli => Box::new(BrotliDecoder::new()),
        ContentCoding::Zstd => {
            let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
            Box::new(ZstdDecoder::new_with_params(&[window]))
        }
    }
}

/// Takes the units of the task's budget that a piece costs.
pub(super) fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..UNITS {
        ready!(task::poll_proceed(cx));
    }
    Poll::Ready(())
}

/// Runs `codec` once on a piece of `input`, from which it removes what was used. Returns the output
/// and the result of `codec`.
pub(super) fn run<R>(
    input: &mut Bytes,
    codec: impl FnOnce(&mut PartialBuffer<&[u8]>, &mut WriteBuffer<'_>) -> io::Result<R>,
) -> io::Result<(Bytes, R)> {
    OUTPUT.with_borrow_mut(|buffer| {
        let mut output = WriteBuffer::new_initialized(buffer);
        let mut piece = PartialBuffer::new(&input[..input.len().min(INPUT_BYTES_MAX)]);
        let result = codec(&mut piece, &mut output)?;
        let used = piece.written_len();
        let written = Bytes::copy_from_slice(output.written());
        input.advance(used);
        Ok((written, result))
    })
}
