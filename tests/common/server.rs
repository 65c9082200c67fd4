//! An example that runs as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::PATIENCE;

/// A server that was started and listens. Kills the process when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
    /// Where it listens, such as `127.0.0.1:8080`.
    pub(crate) address: String,
    /// The line of its output that has the address.
    pub(crate) line: String,
}

/// How a server ended, and what it printed.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The output after the line with the address.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns the first address with a port in `line`, with or without `http://`.
fn address_in(line: &str) -> Option<String> {
    let words = line.split_whitespace().map(|word| word.trim_start_matches("http://"));
    let mut addresses = words.filter(|word| word.parse::<SocketAddr>().is_ok());
    addresses.next().map(str::to_owned)
}

/// Returns a command that runs the example `name`. Cargo builds the examples before it runs tests.
pub(crate) fn example(name: &str) -> Command {
    let mut folder = std::env::current_exe().unwrap();
    // The test's program is in the folder `deps`, next to the folder `examples`.
    folder.pop();
    folder.pop();
    let path: PathBuf = [folder, "examples".into(), name.into()].into_iter().collect();
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is missing: run cargo build --examples", path.display());
    let mut command = Command::new(path);
    command.env_remove("RUST_BACKTRACE").env_remove("BRIGADE_DEBUG").stdin(Stdio::null());
    command
}

impl Server {
    /// Starts `command`, and waits until it prints a line with its address.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut line = String::new();
        let address = loop {
            line.clear();
            let read = stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the server ended before it printed its address");
            if let Some(address) = address_in(&line) {
                break address;
            }
        };
        Self { child, stdout: Some(stdout), stderr: Some(stderr), address, line }
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the process ends.
    pub(crate) fn ended(mut self) -> Ended {
        let mut stdout = self.stdout.take().unwrap();
        let (ended, rest) = mpsc::channel();
        // The pipe ends with the process.
        thread::spawn(move || {
            let mut text = String::new();
            let read = stdout.read_to_string(&mut text);
            let _ = ended.send(read.map(|_| text));
        });
        let stdout = rest.recv_timeout(PATIENCE).expect("the server ends").unwrap();
        let status = self.child.wait().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ended { status, stdout, stderr }
    }

    /// Ends the server with SIGTERM, and returns what it logged.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let Ended { status, stderr, .. } = self.ended();
        assert!(status.success(), "{status}: {stderr}");
        stderr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
