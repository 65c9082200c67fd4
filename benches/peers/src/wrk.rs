//! Runs wrk, for the scenarios that it can drive.

use std::io;
use std::net::SocketAddr;
use std::process::Command;

/// The name of a script in `scripts/` that makes wrk's requests; without one wrk requests `/`.
pub type Script = Option<&'static str>;

/// Runs wrk with one thread for `seconds`, and returns the number of responses.
///
/// # Errors
/// If wrk is not installed, or a request failed or had another status than 2xx.
pub fn run(
    server: SocketAddr,
    connections: usize,
    seconds: u64,
    script: Script,
) -> io::Result<u64> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--timeout", "10s"]);
    command.args(["--connections", &connections.to_string()]);
    command.args(["--duration", &format!("{seconds}s")]);
    if let Some(script) = script {
        let path = format!("{}/scripts/{script}.lua", env!("CARGO_MANIFEST_DIR"));
        command.args(["--script", &path]);
    }
    let output = command.arg(format!("http://{server}/")).output()?;
    responses(&String::from_utf8_lossy(&output.stdout))
}

fn responses(report: &str) -> io::Result<u64> {
    let failure = |line: &&str| line.contains("Socket errors") || line.contains("Non-2xx");
    if let Some(line) = report.lines().find(failure) {
        return Err(io::Error::other(format!("wrk: {}", line.trim())));
    }
    let line = report.lines().find(|line| line.contains(" requests in "));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("wrk printed no number of requests: {report}")))
}

#[cfg(test)]
mod tests {
    use super::responses;

    #[test]
    fn the_number_of_requests_is_parsed() {
        let report = "  56021 requests in 1.00s, 6.89MB read\nRequests/sec:  55976.46\n";
        assert_eq!(responses(report).unwrap(), 56_021);
    }

    #[test]
    fn a_failed_request_fails_the_run() {
        let report = "  9 requests in 1.00s, 1KB read\n  Non-2xx or 3xx responses: 9\n";
        assert!(responses(report).unwrap_err().to_string().ends_with("responses: 9"));
    }
}
