//! Versions of TLS.

use std::fmt;

use rustls::SupportedProtocolVersion;

/// A version of TLS that is supported. Older ones are not (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[default]
    Tls12,
    /// TLS 1.3, RFC 8446.
    Tls13,
}

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl TlsVersion {
    /// Returns this version and those after it, as rustls wants them.
    pub(super) fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => ONLY_TLS13,
        }
    }

    pub(super) fn of(version: Option<rustls::ProtocolVersion>) -> Self {
        match version {
            Some(rustls::ProtocolVersion::TLSv1_2) => Self::Tls12,
            _ => Self::Tls13,
        }
    }
}

/// The name as OpenSSL and nginx write it: `TLSv1.3`.
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}
