//! Unix sockets for tests: folders for their files, and the server's side of a connection.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;

use brigade_runtime::net::{UnixListener, UnixStream};

/// A folder for socket files, which is removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Creates a folder. No two tests of a file may use the same name.
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("brigade-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the folder for temporary files does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The server's side of a connection.
pub(crate) struct Visitor {
    pub(crate) stream: UnixStream,
    received: Vec<u8>,
}

impl Visitor {
    pub(crate) async fn accept(listener: &UnixListener) -> Self {
        Self { stream: listener.accept().await.unwrap().0, received: Vec::new() }
    }

    /// Reads up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.received.windows(end.len()).position(|part| part == end.as_bytes());
            if let Some(at) = found {
                let taken = self.received.drain(..at + end.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the client closed the connection after {:?}", self.received);
            self.received.extend(&buffer[..read]);
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }
}
