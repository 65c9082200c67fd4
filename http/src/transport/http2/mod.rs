//! What server and client share of a connection of HTTP/2 (feature `http2`).
//!
//! Reading order: `preface`, `frames` (what is seen of the frames), `socket` (the stream, as hyper
//! and h2 read and write it).

pub(crate) mod frames;
pub(crate) mod preface;
pub(crate) mod socket;
