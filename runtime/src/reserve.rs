//! One descriptor that is kept back for the day when none is left.

use std::fs::File;
use std::io;

use crate::net::TcpListener;

/// Connections turned away at one go.
const TURNED_AWAY_MAX: usize = 4096;

/// A descriptor that does nothing. Given up, it lets connections be accepted that can only be
/// closed: their peers hear at once that they are not served, and do not wait in the backlog.
#[derive(Debug)]
pub(crate) struct Reserve {
    kept: Option<File>,
}

impl Reserve {
    pub(crate) fn new() -> Self {
        Self { kept: open() }
    }

    /// Accepts and closes the connections that wait. Returns how many.
    pub(crate) fn turn_away(&mut self, listener: &TcpListener) -> usize {
        self.kept = None;
        let mut count = 0;
        while count < TURNED_AWAY_MAX {
            match listener.try_accept_std() {
                Ok(_) => count += 1,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
        // Another thread may have been quicker: then there is no reserve until the next time.
        self.kept = open();
        count
    }
}

fn open() -> Option<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok()
}
