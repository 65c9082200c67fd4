//! Certificates of a TLS server: how they are loaded, and replaced while it serves.
#![forbid(unsafe_code)]

// std
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

// crates
use brigade_runtime::run;
use brigade_runtime::signal::{SignalKind, Signals};
use brigade_runtime::tls::rustls::crypto::{CryptoProvider, ring};
use brigade_runtime::tls::rustls::pki_types::CertificateDer;
use brigade_runtime::tls::{TlsConfig, TlsConnector, TlsError, TlsRoots};

// ours
#[path = "support/tls.rs"]
mod tls;
use tls::{Authority, Pem, VERSIONS, accept_one, close, echo, echoed, peer, shake_hands};

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("brigade-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn write_pem(&self, pem: &Pem) -> (PathBuf, PathBuf) {
        (self.write("cert.pem", &pem.certificate), self.write("key.pem", &pem.key))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the certificate that a new client gets.
fn served(server: &TlsConfig, authority: &Authority) -> CertificateDer<'static> {
    let config = authority.client(&VERSIONS);
    let client = |address| {
        let mut peer = peer(address, config);
        shake_hands(&mut peer).unwrap();
        peer.conn.peer_certificates().unwrap()[0].clone()
    };
    accept_one(server.clone(), client, async |stream| drop(stream.unwrap())).1
}

#[test]
fn a_reload_applies_to_new_connections_of_all_clones() {
    let folder = Folder::new("reload");
    let authority = Authority::new();
    let (old, new) = (authority.certify(&["localhost"]), authority.certify(&["localhost"]));
    let (certificate, key) = folder.write_pem(&old);
    let server = TlsConfig::from_pem_files(certificate, key).unwrap();
    let clone = server.with_alpn_protocols(["h2"]);
    assert_eq!(served(&server, &authority), old.der());
    folder.write_pem(&new);
    assert_eq!(served(&server, &authority), old.der());
    server.reload().unwrap();
    assert_eq!(served(&server, &authority), new.der());
    assert_eq!(served(&clone, &authority), new.der());
    assert_eq!(clone.certificates(), [new.der()]);
}

#[test]
fn a_connection_that_is_open_survives_a_reload() {
    let authority = Authority::new();
    let (server, config) = (authority.server(), authority.client(&VERSIONS));
    let client = |address| {
        let mut peer = peer(address, config);
        for _ in 0..2 {
            assert_eq!(echoed(&mut peer, b"hello"), b"hello");
        }
        close(peer);
    };
    let new = authority.certify(&["localhost"]);
    accept_one(server.clone(), client, async move |stream| {
        let stream = stream.unwrap();
        let mut received = [0; 5];
        stream.read_exact(&mut received).await.unwrap();
        stream.write_all(&received).await.unwrap();
        server.replace_pem(&new.certificate, &new.key).unwrap();
        echo(&stream).await.unwrap();
    });
}

#[test]
fn a_broken_reload_is_refused_and_the_old_certificate_stays() {
    let folder = Folder::new("broken-reload");
    let authority = Authority::new();
    let (old, other) = (authority.certify(&["localhost"]), authority.certify(&["localhost"]));
    let (certificate, key) = folder.write_pem(&old);
    let server = TlsConfig::from_pem_files(&certificate, &key).unwrap();
    let garbage = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let no_certificate =
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    for (certificate_text, key_text, reason) in [
        (&*other.certificate, &*old.key, "key.pem cannot be used with"),
        (garbage, &old.key, "cannot parse the certificates of"),
        (&no_certificate, &old.key, "cert.pem"),
        ("", &old.key, "no certificate in"),
        (&old.certificate, "", "no private key in"),
        (&old.certificate, &old.certificate, "no private key in"),
    ] {
        fs::write(&certificate, certificate_text).unwrap();
        fs::write(&key, key_text).unwrap();
        let error = server.reload().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains(&*folder.0.to_string_lossy()), "{error}");
        assert_eq!(server.certificates(), [old.der()]);
    }
    fs::remove_file(&key).unwrap();
    let error = server.reload().unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("key.pem"), "{error}");
    let error = server.replace_pem(&other.certificate, &old.key).unwrap_err().to_string();
    assert!(error.contains("the given key cannot be used"), "{error}");
    assert_eq!(served(&server, &authority), old.der());
}

#[test]
fn one_of_several_certificates_that_is_broken_refuses_the_reload_of_all() {
    let folder = Folder::new("several");
    let authority = Authority::new();
    let (first, second) = (authority.certify(&["localhost"]), authority.certify(&["b.example"]));
    let (certificate, key) = folder.write_pem(&first);
    let broken = folder.write("second.pem", &second.certificate);
    let broken_key = folder.write("second.key", &second.key);
    let server = TlsConfig::builder()
        .certificate_files(&certificate, &key)
        .certificate_files(&broken, broken_key)
        .build()
        .unwrap();
    let new = authority.certify(&["localhost"]);
    folder.write_pem(&new);
    fs::write(&broken, "").unwrap();
    server.reload().unwrap_err();
    assert_eq!(served(&server, &authority), first.der());
    // The first one can be replaced all the same.
    server.replace_pem(&new.certificate, &new.key).unwrap();
    assert_eq!(served(&server, &authority), new.der());
    // From now on it is not read from its file.
    folder.write_pem(&first);
    fs::write(&broken, &second.certificate).unwrap();
    server.reload().unwrap();
    assert_eq!(served(&server, &authority), new.der());
}

#[test]
fn a_configuration_without_usable_certificates_is_an_error() {
    let text = |result: Result<TlsConfig, TlsError>| result.unwrap_err().to_string();
    assert!(text(TlsConfig::builder().build()).contains("none was given"));
    assert!(text(TlsConfig::from_pem_files("/no/such", "/file")).contains("/no/such"));
    let pem = Authority::new().certify(&["localhost"]);
    assert!(text(TlsConfig::from_pem("", &pem.key)).contains("the given certificate"));
    let error = pem.server().reload().unwrap_err().to_string();
    assert!(error.contains("none was given by the path"), "{error}");
    assert!(TlsRoots::from_pem("").unwrap_err().to_string().contains("the given roots"));
    let error = TlsRoots::from_pem_file("/no/such").unwrap_err().to_string();
    assert!(error.contains("/no/such"), "{error}");
    let error = std::io::Error::from(TlsRoots::from_pem("").unwrap_err());
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn another_provider_determines_the_cipher_suites() {
    let authority = Authority::new();
    let pem = authority.certify(&["localhost"]);
    let mut provider = ring::default_provider();
    let suite = ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    provider.cipher_suites = vec![suite];
    let server = TlsConfig::builder()
        .certificate_pem(&pem.certificate, &pem.key)
        .provider(Arc::new(provider.clone()));
    // It has no suite for TLS 1.2, which is no error as long as one version is left.
    let server = server.build().unwrap();
    let config = authority.client(&VERSIONS);
    let client = |address| shake_hands(&mut peer(address, config)).unwrap();
    let (suite, ()) = accept_one(server, client, async |stream| stream.unwrap().cipher_suite());
    assert_eq!(suite, "TLS13_CHACHA20_POLY1305_SHA256");
    provider.cipher_suites.clear();
    let builder = TlsConnector::builder().roots(authority.roots()).provider(Arc::new(provider));
    assert!(builder.build().unwrap_err().to_string().contains("versions of TLS"));
    assert!(CryptoProvider::get_default().is_none(), "the process was not asked for one");
}

/// Runs this test alone in a process of its own, with these variables.
fn in_child(test: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("BRIGADE_TEST_CHILD", test);
    command.envs(variables.iter().copied()).output().unwrap()
}

fn is_child_of(test: &str) -> bool {
    std::env::var("BRIGADE_TEST_CHILD").as_deref() == Ok(test)
}

#[test]
fn keys_are_logged_only_if_that_is_asked_for() {
    const TEST: &str = "keys_are_logged_only_if_that_is_asked_for";
    if is_child_of(TEST) {
        let authority = Authority::new();
        let pem = authority.certify(&["localhost"]);
        let mut builder = TlsConfig::builder().certificate_pem(&pem.certificate, &pem.key);
        if std::env::var_os("ASKED_FOR").is_some() {
            builder = builder.log_keys();
        }
        served(&builder.build().unwrap(), &authority);
        return;
    }
    let folder = Folder::new("keys");
    let log = folder.0.join("keys.log");
    let variable = ("SSLKEYLOGFILE", &*log.to_string_lossy());
    assert!(in_child(TEST, &[variable]).status.success());
    assert!(!log.exists());
    assert!(in_child(TEST, &[variable, ("ASKED_FOR", "1")]).status.success());
    assert!(fs::read_to_string(&log).unwrap().contains("SERVER_TRAFFIC_SECRET_0 "));
}

#[test]
fn the_roots_of_the_system_are_trusted_by_default() {
    const TEST: &str = "the_roots_of_the_system_are_trusted_by_default";
    if is_child_of(TEST) {
        match TlsRoots::system() {
            Ok(roots) => println!("{} roots, {:?}", roots.len(), TlsConnector::new().is_ok()),
            Err(error) => println!("error: {error}"),
        }
        return;
    }
    let folder = Folder::new("roots");
    let file = folder.write("roots.pem", &Authority::new().pem());
    let empty = folder.write("empty.pem", "");
    let output = |file: &PathBuf| {
        let file = file.to_string_lossy();
        let output = in_child(TEST, &[("SSL_CERT_FILE", &*file), ("SSL_CERT_DIR", "")]);
        String::from_utf8(output.stdout).unwrap()
    };
    let (found, none) = (output(&file), output(&empty));
    assert!(found.contains("1 roots, true"), "{found}");
    assert!(none.contains("error: no certificate of the system"), "{none}");
}

#[test]
fn certificates_are_reloaded_on_a_signal() {
    const TEST: &str = "certificates_are_reloaded_on_a_signal";
    if !is_child_of(TEST) {
        let output = in_child(TEST, &[]);
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let folder = Folder::new("signal");
    let authority = Authority::new();
    let (old, new) = (authority.certify(&["localhost"]), authority.certify(&["localhost"]));
    let (certificate, key) = folder.write_pem(&old);
    let server = TlsConfig::from_pem_files(certificate, key).unwrap();
    run(async move {
        // Keeps the signal from ending the process before the other listener listens.
        let _signals = Signals::new([SignalKind::Hangup]).unwrap();
        let config = server.clone();
        let reloading =
            brigade_runtime::spawn(async move { config.reload_on(SignalKind::Hangup).await });
        brigade_runtime::task::yield_now().await;
        for pem in [&new, &old] {
            folder.write_pem(pem);
            let id = std::process::id().to_string();
            assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
            while server.certificates() != [pem.der()] {
                brigade_runtime::task::yield_now().await;
            }
        }
        reloading.abort();
    });
}
