//! An authority of the tests, and its certificates.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use brigade_http::{Client, ClientBuilder};
use brigade_runtime::tls::{TlsConfig, TlsConnector, TlsRoots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority, and a certificate of it for localhost.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Returns a certificate for these names and its key, in PEM.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub fn roots(&self) -> TlsRoots {
        TlsRoots::from_pem(self.issuer.pem()).unwrap()
    }

    pub fn config(&self) -> TlsConfig {
        let (certificate, key) = self.issue(&["localhost", "127.0.0.1"]);
        TlsConfig::from_pem(certificate, key).unwrap()
    }

    pub fn client(&self) -> ClientBuilder {
        Client::builder().tls(TlsConnector::builder().roots(self.roots()).build().unwrap())
    }
}
