//! Connecting to one of several addresses: "Happy Eyeballs", RFC 8305.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::net::addresses::all_failed;
use crate::time::timeout;

/// How long an attempt may take before the next address is tried as well: the recommended value of
/// RFC 8305, section 8.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Calls `connect` with one address after the other and returns the first connection. The next
/// address is tried when an attempt fails, or has taken [`ATTEMPT_DELAY`]; earlier attempts
/// continue meanwhile. IPv6 and IPv4 take turns, beginning with the family of the first address.
/// The other attempts are dropped once there is a connection.
///
/// # Errors
/// If all attempts failed. The kind is that of the last failure.
pub(super) async fn connect_first<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let attempt = async |address| (address, connect(address).await);
    let mut waiting = interleave_families(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        attempts.extend(waiting.next().map(&attempt));
        let ended = if waiting.len() == 0 {
            attempts.next().await
        } else if let Ok(ended) = timeout(ATTEMPT_DELAY, attempts.next()).await {
            ended
        } else {
            continue;
        };
        match ended {
            Some((_, Ok(connection))) => return Ok(connection),
            Some((address, Err(error))) => failures.push((address, error)),
            None => return Err(all_failed("connect to", &failures)),
        }
    }
}

/// Alternates between the families of the addresses (RFC 8305, section 4).
fn interleave_families(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let count = addresses.len();
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut interleaved = Vec::with_capacity(count);
    while interleaved.len() < count {
        interleaved.extend(first.next());
        interleaved.extend(second.next());
    }
    interleaved
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;

    fn interleaved(addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        interleave_families(addresses).iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn address_families_take_turns_in_the_order_of_the_resolver() {
        assert_eq!(
            interleaved(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.0:1", "2.0.0.0:1"]),
            ["[::1]:1", "1.0.0.0:1", "[::2]:1", "2.0.0.0:1", "[::3]:1"]
        );
        assert_eq!(
            interleaved(&["1.0.0.0:1", "2.0.0.0:1", "[::1]:1"]),
            ["1.0.0.0:1", "[::1]:1", "2.0.0.0:1"]
        );
        assert_eq!(interleaved(&["1.0.0.0:1", "2.0.0.0:1"]), ["1.0.0.0:1", "2.0.0.0:1"]);
        assert!(interleaved(&[]).is_empty());
    }
}
