//! The certificates of a server: which one a client gets, and how they are replaced.
//!
//! A handshake takes a reference to the set that is current when it begins. Replacing the set does
//! not touch connections that are open.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::sync::lock;
use crate::tls::error::TlsError;
use crate::tls::pem;

/// Where a certificate and its key come from.
pub(super) enum Source {
    /// From files, which [`Certificates::reload`] reads again.
    Files { certificates: PathBuf, key: PathBuf },
    /// From PEM in memory.
    Pem { certificates: Vec<u8>, key: Vec<u8> },
    /// From DER in memory.
    Der { certificates: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static> },
    /// It was parsed already, and stays as it is.
    Parsed(Arc<CertifiedKey>),
}

impl Source {
    /// Reads and parses the certificate and the key.
    ///
    /// # Errors
    /// If a file cannot be read or parsed, or if the key does not belong to the certificate.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let (names, chain, key) = match self {
            Self::Parsed(key) => return Ok(key.clone()),
            Self::Files { certificates, key } => {
                let names = (certificates.display().to_string(), key.display().to_string());
                let chain = pem::certificates(&pem::read_file(certificates)?, &names.0)?;
                let key = pem::key(&pem::read_file(key)?, &names.1)?;
                (names, chain, key)
            }
            Self::Pem { certificates, key } => {
                let names = in_memory();
                let chain = pem::certificates(certificates, &names.0)?;
                let key = pem::key(key, &names.1)?;
                (names, chain, key)
            }
            Self::Der { certificates, key } => (in_memory(), certificates.clone(), key.clone_key()),
        };
        let (certificate_name, key_name) = names;
        let loaded = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            let what = format!("the key of {key_name} cannot be used with {certificate_name}");
            TlsError::because(what, error)
        })?;
        // A key whose public half is not known is not compared with the certificate, so it was not
        // parsed yet.
        let certificate = loaded.end_entity_cert().map_err(|error| {
            TlsError::because(format!("no certificate in {certificate_name}"), error)
        })?;
        webpki::EndEntityCert::try_from(certificate).map_err(|error| {
            TlsError::because(format!("the certificate of {certificate_name}"), error)
        })?;
        Ok(Arc::new(loaded))
    }
}

fn in_memory() -> (String, String) {
    ("the given certificate".to_owned(), "the given key".to_owned())
}

/// The certificates of a server. It is shared by all configurations that were made from one.
pub(super) struct Certificates {
    provider: Arc<CryptoProvider>,
    /// Locked while the set is replaced.
    sources: Mutex<Vec<Source>>,
    set: RwLock<Arc<Set>>,
}

impl Certificates {
    /// # Errors
    /// If `sources` is empty, or one cannot be loaded.
    pub(super) fn new(
        mut sources: Vec<Source>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let set = Set::load(&sources, &provider)?;
        for (source, key) in sources.iter_mut().zip(&set.keys) {
            if !matches!(source, Source::Files { .. }) {
                *source = Source::Parsed(key.clone());
            }
        }
        Ok(Self { provider, sources: Mutex::new(sources), set: RwLock::new(Arc::new(set)) })
    }

    /// Reads all files again and replaces the set, if all of them can be used.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let sources = lock(&self.sources);
        if !sources.iter().any(|source| matches!(source, Source::Files { .. })) {
            return Err(TlsError::new(
                "no certificate to read again: none was given by the path of its file",
            ));
        }
        self.replace(Set::load(&sources, &self.provider)?);
        Ok(())
    }

    /// Replaces the first certificate, if `source` can be used.
    pub(super) fn replace_first(&self, source: &Source) -> Result<(), TlsError> {
        let mut sources = lock(&self.sources);
        let new = source.load(&self.provider)?;
        sources[0] = Source::Parsed(new.clone());
        let mut keys = self.set().keys.clone();
        keys[0] = new;
        self.replace(Set::new(keys));
        Ok(())
    }

    /// Returns the chain of the first certificate, itself first.
    pub(super) fn first_chain(&self) -> Vec<CertificateDer<'static>> {
        self.set().keys[0].cert.clone()
    }

    fn set(&self) -> Arc<Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, set: Set) {
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.set().choose(hello.server_name(), hello.signature_schemes()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("names", &self.set().by_name.keys()).finish()
    }
}

/// The certificates that are used together.
struct Set {
    /// At least one, in the order in which they were given.
    keys: Vec<Arc<CertifiedKey>>,
    /// The indexes in `keys` of those for a name, which may begin with `*.`. Names are in lower
    /// case. Empty if there is only one certificate.
    by_name: HashMap<String, Vec<usize>>,
}

impl Set {
    fn load(sources: &[Source], provider: &CryptoProvider) -> Result<Self, TlsError> {
        if sources.is_empty() {
            return Err(TlsError::new("a server needs a certificate: none was given"));
        }
        let keys: Result<Vec<_>, _> = sources.iter().map(|source| source.load(provider)).collect();
        Ok(Self::new(keys?))
    }

    fn new(keys: Vec<Arc<CertifiedKey>>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        if keys.len() > 1 {
            for (index, key) in keys.iter().enumerate() {
                for name in names(key) {
                    by_name.entry(name).or_default().push(index);
                }
            }
        }
        Self { keys, by_name }
    }

    /// Returns the first certificate for `name` whose key can sign by one of `schemes`; the first
    /// one of all if there is none.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let mut keys = self.for_name(name).iter().map(|index| &self.keys[*index]);
        let chosen = keys.find(|key| key.key.choose_scheme(schemes).is_some());
        chosen.unwrap_or(&self.keys[0]).clone()
    }

    fn for_name(&self, name: Option<&str>) -> &[usize] {
        let Some(name) = name.filter(|_| !self.by_name.is_empty()) else { return &[] };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wildcard = || {
            // It stands for exactly one label, RFC 9525 section 6.3.
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(&name).or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

/// Returns the DNS names of a certificate, in lower case.
fn names(key: &CertifiedKey) -> Vec<String> {
    // It was parsed when it was loaded.
    let certificate = key.cert.first().and_then(|der| webpki::EndEntityCert::try_from(der).ok());
    let Some(certificate) = certificate else { return Vec::new() };
    certificate.valid_dns_names().map(str::to_ascii_lowercase).collect()
}
