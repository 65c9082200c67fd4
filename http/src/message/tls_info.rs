//! What was negotiated for a connection over TLS.

use std::ops::Deref;
use std::rc::Rc;

use brigade_runtime::tls::TlsVersion;
use brigade_runtime::tls::rustls::pki_types::CertificateDer;

/// The TLS connection over which a request came, as an argument of a handler. Clones refer to the
/// same value.
///
/// A request that came without TLS has none: the response is a 500 then. If the server may be used
/// without TLS, take an `Option<TlsInfo>`.
///
/// # Examples
/// ```
/// use brigade_http::{Router, TlsInfo, get};
///
/// async fn who(tls: TlsInfo) -> String {
///     match &tls.peer_certificates {
///         Some(chain) => format!("a client with a certificate of {} bytes", chain[0].len()),
///         None => "a client without a certificate".to_owned(),
///     }
/// }
///
/// let router = Router::new().route("/who", get(who));
/// ```
#[derive(Clone, Debug)]
pub struct TlsInfo(pub(crate) Rc<TlsDetails>);

/// What a [`TlsInfo`] refers to.
#[derive(Debug)]
#[non_exhaustive]
pub struct TlsDetails {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The name of the cipher suite, such as `TLS13_AES_128_GCM_SHA256`.
    pub cipher_suite: &'static str,
    /// The name of the group by which the key was agreed on, such as `X25519MLKEM768`. `unknown` if
    /// a session of TLS 1.2 was resumed.
    pub key_exchange_group: &'static str,
    /// The name of the server that the client has sent (SNI, RFC 6066 section 3).
    pub server_name: Option<String>,
    /// The certificates that the client has sent, its own first, in DER. They were verified.
    pub peer_certificates: Option<Vec<CertificateDer<'static>>>,
    /// The handshake has resumed an earlier session.
    pub is_resumed: bool,
}

impl Deref for TlsInfo {
    type Target = TlsDetails;

    fn deref(&self) -> &TlsDetails {
        &self.0
    }
}
