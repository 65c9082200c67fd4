//! Starts the examples as processes, and sends requests to them over sockets.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod client;
pub(crate) mod docs;
pub(crate) mod server;

use std::time::Duration;

/// How long a test waits for an event before it fails. Nothing takes that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
