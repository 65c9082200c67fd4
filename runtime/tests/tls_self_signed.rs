//! Certificates that are made when a server starts.
#![forbid(unsafe_code)]

// crates
use brigade_runtime::net::UnixStream;
use brigade_runtime::tls::{TlsAcceptor, TlsConfig, TlsConnector, TlsRoots};
use brigade_runtime::{run, spawn};

#[test]
fn a_client_that_is_told_to_trust_it_accepts_a_self_signed_certificate() {
    run(async {
        let config = TlsConfig::self_signed(["localhost", "127.0.0.1"]).unwrap();
        let roots = TlsRoots::from_der(config.certificates()).unwrap();
        let connector = TlsConnector::builder().roots(roots).build().unwrap();
        let acceptor = TlsAcceptor::new(config);
        for name in ["localhost", "127.0.0.1", "example.org"] {
            let (one, other) = UnixStream::pair().unwrap();
            let acceptor = acceptor.clone();
            let accepting = spawn(async move { acceptor.accept(other).await.is_ok() });
            let is_known = name != "example.org";
            let connected = connector.connect(one, name).await;
            assert_eq!(connected.is_ok(), is_known, "{name}: {connected:?}");
            assert_eq!(accepting.await.unwrap(), is_known, "{name}");
        }
    });
}

#[test]
fn every_certificate_has_a_key_of_its_own() {
    let make = || TlsConfig::self_signed(["localhost"]).unwrap().certificates();
    assert_ne!(make(), make());
    let error = TlsConfig::self_signed(["no name \u{e9}"]).unwrap_err();
    assert!(error.to_string().contains("cannot make a certificate"), "{error}");
    assert!(TlsRoots::from_der([]).is_err());
}
