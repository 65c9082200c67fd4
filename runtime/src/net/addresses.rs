//! Several addresses of which one has to work, and the error if none does.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Calls `attempt` with one address after the other until it succeeds. `action` is for the error
/// message: what was attempted at an address. A host name is resolved on this thread.
///
/// # Errors
/// Those of the name resolution, and that of [`all_failed`].
pub(super) fn first_that_works<T>(
    addresses: impl ToSocketAddrs,
    action: &str,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failures = Vec::new();
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(done) => return Ok(done),
            Err(error) => failures.push((address, error)),
        }
    }
    Err(all_failed(action, &failures))
}

/// Returns an error that names each address with its error. The kind is that of the last one;
/// `NotFound` if there is no address.
pub(super) fn all_failed(action: &str, failures: &[(SocketAddr, io::Error)]) -> io::Error {
    let Some((_, last)) = failures.last() else {
        return io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    };
    let reasons: Vec<_> =
        failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    io::Error::new(last.kind(), format!("cannot {action} {}", reasons.join("; ")))
}
