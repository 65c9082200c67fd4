//! An example that runs as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A server that has not ended by then never will.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that was started and listens. Killed if it is dropped while it runs.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    /// Where it listens.
    pub(crate) address: String,
    /// The line that it printed.
    pub(crate) line: String,
}

/// How a server ended, and what it printed.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Beyond the line that it printed first.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The example `name`, which Cargo builds before it runs tests.
pub(crate) fn example(name: &str) -> Command {
    let mut folder = std::env::current_exe().unwrap();
    // The tests are in deps.
    folder.pop();
    folder.pop();
    let path: PathBuf = [folder, "examples".into(), name.into()].into_iter().collect();
    assert!(path.exists(), "{} is not there: cargo build --example {name}", path.display());
    let mut command = Command::new(path);
    command.env_remove("RUST_BACKTRACE").env_remove("BRIGADE_DEBUG").stdin(Stdio::null());
    command
}

impl Server {
    /// Starts `command`, and waits until it listens.
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
        stdout.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { child, stdout, stderr: Some(stderr), address, line }
    }

    /// Sends `signal`, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> Ended {
        let patience = Instant::now() + END_TIMEOUT;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < patience, "it does not end"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ended { status, stdout, stderr }
    }

    /// Ends it as an orchestrator would; returns what it logged.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let Ended { status, stderr, .. } = self.ended();
        assert!(status.success(), "{status}: {stderr}");
        stderr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
