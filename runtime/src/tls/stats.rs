//! The counters of an acceptor's handshakes, for any thread.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::tls::handshake_error::HandshakeFailure;

/// The number of handshakes that a [`TlsAcceptor`](crate::tls::TlsAcceptor) and its clones have
/// made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsStats {
    /// Handshakes that succeeded.
    pub handshakes: u64,
    /// Those of them that resumed an earlier session.
    pub resumed: u64,
    failures: [u64; HandshakeFailure::ALL.len()],
}

impl TlsStats {
    /// Returns the number of handshakes that failed for one reason.
    #[must_use]
    pub fn failures(&self, failure: HandshakeFailure) -> u64 {
        self.failures[failure as usize]
    }

    /// Returns the number of handshakes that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }
}

/// Such as `3 TLS handshakes (1 resumed), 2 failed (1 not_tls, 1 timeout)`.
impl fmt::Display for TlsStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handshakes, resumed, .. } = self;
        write!(f, "{handshakes} TLS handshakes ({resumed} resumed), {} failed", self.failed())?;
        let counted = HandshakeFailure::ALL.map(|failure| (self.failures(failure), failure.name()));
        let counted = counted.iter().filter(|(count, _)| *count > 0);
        let failures: Vec<_> = counted.map(|(count, name)| format!("{count} {name}")).collect();
        match failures.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", failures.join(", ")),
        }
    }
}

/// The counters themselves. All loops share them: a handshake takes a thousand times as long as
/// counting it.
#[derive(Default)]
pub(super) struct Counters {
    handshakes: AtomicU64,
    resumed: AtomicU64,
    failures: [AtomicU64; HandshakeFailure::ALL.len()],
}

impl Counters {
    pub(super) fn count_handshake(&self, is_resumed: bool) {
        self.handshakes.fetch_add(1, Relaxed);
        self.resumed.fetch_add(u64::from(is_resumed), Relaxed);
    }

    pub(super) fn count_failure(&self, failure: HandshakeFailure) {
        self.failures[failure as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> TlsStats {
        TlsStats {
            handshakes: self.handshakes.load(Relaxed),
            resumed: self.resumed.load(Relaxed),
            failures: std::array::from_fn(|index| self.failures[index].load(Relaxed)),
        }
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        for (index, failure) in HandshakeFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
        }
        let counters = Counters::default();
        counters.count_handshake(true);
        counters.count_handshake(false);
        assert_eq!(counters.read().to_string(), "2 TLS handshakes (1 resumed), 0 failed");
        counters.count_failure(HandshakeFailure::Io);
        counters.count_failure(HandshakeFailure::NotTls);
        let stats = counters.read();
        assert_eq!(stats.failures(HandshakeFailure::Io), 1);
        assert_eq!(stats.failed(), 2);
        assert!(stats.to_string().ends_with("2 failed (1 not_tls, 1 io)"), "{stats}");
    }
}
