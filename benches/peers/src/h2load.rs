//! Runs h2load, of nghttp2, for HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::process::Command;

/// Sends that many requests for `/` over TLS with one thread, and returns the number of responses.
/// Their number is fixed because h2load 1.52 may not end when it is given a duration.
///
/// # Errors
/// If h2load is not installed, or a request failed or had another status than 2xx.
pub fn run(
    server: SocketAddr,
    connections: usize,
    streams: usize,
    requests: u64,
) -> io::Result<u64> {
    let mut command = Command::new("h2load");
    command.args(["--threads", "1", "--groups", "X25519"]);
    command.args(["--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "--npn-list", "h2"]);
    command.args(["--clients", &connections.to_string()]);
    command.args(["--max-concurrent-streams", &streams.to_string()]);
    command.args(["--requests", &requests.to_string()]);
    let output = command.arg(format!("https://{server}/")).output().map_err(|error| {
        io::Error::new(error.kind(), format!("h2load: {error}: apt-get install nghttp2-client"))
    })?;
    responses(&String::from_utf8_lossy(&output.stdout))
}

fn responses(report: &str) -> io::Result<u64> {
    let failure = |what: &str| io::Error::other(format!("h2load {what}: {report}"));
    let line = report.lines().find(|line| line.starts_with("requests: "));
    let line = line.ok_or_else(|| failure("printed no number of requests"))?;
    let count = |name: &str| {
        let field = line.split([':', ',']).find_map(|field| field.trim().strip_suffix(name));
        field.and_then(|number| number.trim().parse::<u64>().ok())
    };
    match (count("succeeded"), count("failed"), count("errored")) {
        (Some(succeeded), Some(0), Some(0)) => Ok(succeeded),
        _ => Err(failure("had failures")),
    }
}

#[cfg(test)]
mod tests {
    use super::responses;

    #[test]
    fn the_number_of_responses_is_parsed() {
        let report = "requests: 70 total, 72 started, 70 done, 70 succeeded, 0 failed, 0 errored, \
                      0 timeout\nstatus codes: 70 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        assert_eq!(responses(report).unwrap(), 70);
    }

    #[test]
    fn a_failed_request_fails_the_run() {
        let report = "requests: 9 total, 9 started, 9 done, 8 succeeded, 1 failed, 0 errored\n";
        assert!(responses(report).is_err());
        assert!(responses("").is_err());
    }
}
