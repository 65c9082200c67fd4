//! What the drivers of a server connection and of a client connection share.

pub(crate) mod outgoing;
