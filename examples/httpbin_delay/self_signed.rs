//! A certificate that nobody has signed, for localhost.

use std::error::Error;
use std::fmt::Write;

use brigade::tls::TlsConfig;
use brigade::tls::rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use crate::tls::Tls;

/// Makes a certificate, and returns it with a line that has its fingerprint.
pub(crate) fn make() -> Result<(Tls, String), Box<dyn Error>> {
    let config = TlsConfig::self_signed(["localhost", "127.0.0.1", "::1"])?;
    let suite = TLS13_AES_128_GCM_SHA256.tls13().ok_or("no suite with SHA-256")?;
    let digest = suite.common.hash_provider.hash(&config.certificates()[0]);
    let mut line = "certificate for localhost, SHA-256 fingerprint ".to_owned();
    for (index, byte) in digest.as_ref().iter().enumerate() {
        let colon = if index > 0 { ":" } else { "" };
        write!(line, "{colon}{byte:02X}")?;
    }
    line.push('\n');
    Ok((Tls(config), line))
}
