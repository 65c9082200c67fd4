//! What server and client share of a connection of HTTP/2 (feature `http2`).
//!
//! Reading order: `preface`, `frames` (what is seen of the frames), `socket` (the stream, as h2
//! reads and writes it), `pings`, `bodies`.

pub(crate) mod bodies;
pub(crate) mod frames;
pub(crate) mod pings;
pub(crate) mod preface;
pub(crate) mod socket;
