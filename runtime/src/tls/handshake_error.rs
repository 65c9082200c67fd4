//! Why a handshake failed.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, Error as RustlsError};

/// Why a TLS handshake failed.
#[derive(Debug)]
pub struct HandshakeError {
    failure: HandshakeFailure,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of failed handshakes, by which a server counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The peer has sent something other than a TLS handshake first, such as a plain HTTP request.
    NotTls,
    /// The deadline has passed.
    Timeout,
    /// The peer has closed or reset the connection.
    Closed,
    /// There is no version, cipher suite or protocol (ALPN) that both sides accept.
    NoCommonProtocol,
    /// A certificate was refused, by this side or by the peer, or is missing.
    Certificate,
    /// The peer has broken the protocol, or sent an alert.
    Protocol,
    /// The socket has failed.
    Io,
}

impl HandshakeFailure {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::NotTls,
        Self::Timeout,
        Self::Closed,
        Self::NoCommonProtocol,
        Self::Certificate,
        Self::Protocol,
        Self::Io,
    ];

    /// Returns a name for metrics, such as `not_tls`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NoCommonProtocol => "no_common_protocol",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Io => "io",
        }
    }
}

impl HandshakeError {
    pub(super) fn new(failure: HandshakeFailure) -> Self {
        Self { failure, source: None }
    }

    /// Returns the kind of failure.
    #[must_use]
    pub fn failure(&self) -> HandshakeFailure {
        self.failure
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        let failure = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => HandshakeFailure::Closed,
            _ => HandshakeFailure::Io,
        };
        Self { failure, source: Some(error.into()) }
    }
}

impl From<RustlsError> for HandshakeError {
    fn from(error: RustlsError) -> Self {
        let failure = match &error {
            RustlsError::NoApplicationProtocol | RustlsError::PeerIncompatible(_) => {
                HandshakeFailure::NoCommonProtocol
            }
            RustlsError::InvalidCertificate(_) | RustlsError::NoCertificatesPresented => {
                HandshakeFailure::Certificate
            }
            RustlsError::AlertReceived(alert) => failure_of(*alert),
            _ => HandshakeFailure::Protocol,
        };
        Self { failure, source: Some(error.into()) }
    }
}

/// Returns the kind of failure that an alert of the peer reports, RFC 8446 section 6.2.
fn failure_of(alert: AlertDescription) -> HandshakeFailure {
    use AlertDescription as Alert;
    match alert {
        Alert::NoApplicationProtocol
        | Alert::ProtocolVersion
        | Alert::HandshakeFailure
        | Alert::InsufficientSecurity => HandshakeFailure::NoCommonProtocol,
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::CertificateRequired
        | Alert::NoCertificate
        | Alert::UnknownCA
        | Alert::AccessDenied => HandshakeFailure::Certificate,
        _ => HandshakeFailure::Protocol,
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failure {
            HandshakeFailure::NotTls => "the peer does not speak TLS",
            HandshakeFailure::Timeout => "the TLS handshake took too long",
            HandshakeFailure::Closed => "the peer closed the connection in the TLS handshake",
            HandshakeFailure::NoCommonProtocol => {
                "the TLS handshake found no version, cipher suite or protocol in common"
            }
            HandshakeFailure::Certificate => "the TLS handshake failed because of a certificate",
            HandshakeFailure::Protocol => "the TLS handshake failed",
            HandshakeFailure::Io => "the socket failed in the TLS handshake",
        })?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        let kind = match error.failure {
            HandshakeFailure::Timeout => io::ErrorKind::TimedOut,
            HandshakeFailure::Closed => io::ErrorKind::UnexpectedEof,
            HandshakeFailure::Io => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
