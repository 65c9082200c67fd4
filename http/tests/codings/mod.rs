//! Texts, and their encodings by other crates than ours.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Returns text that can be compressed, but not to nothing.
pub(crate) fn text(length: usize) -> Bytes {
    let words = (0_u64..).flat_map(|n| format!("{} ", n.wrapping_mul(2_654_435_761)).into_bytes());
    words.take(length).collect()
}

pub(crate) fn encode(coding: &str, data: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoded = Vec::new();
            brotli::CompressorReader::new(data, 4096, 5, 20).read_to_end(&mut encoded).unwrap();
            encoded
        }
        _ => zstd::encode_all(data, 3).unwrap(),
    }
}
