//! TLS handshakes: what is negotiated, and why a handshake fails.
#![forbid(unsafe_code)]

// std
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

// crates
use brigade_runtime::net::{TcpListener, TcpStream};
use brigade_runtime::tls::rustls::{self, AlertDescription};
use brigade_runtime::tls::{
    Accepted, HandshakeError, HandshakeFailure, TlsAcceptor, TlsConfig, TlsConnector, TlsStream,
    TlsVersion,
};
use brigade_runtime::{run, run_in_thread, spawn, spawn_blocking};

// ours
mod support;
#[path = "support/tls.rs"]
mod tls;
use support::run_on_manual_clock;
use tls::{Authority, VERSIONS, accept_one, close, echo, echoed, peer, peer_of, shake_hands, tcp};

fn failure(result: &Result<TlsStream, HandshakeError>) -> Option<HandshakeFailure> {
    result.as_ref().err().map(HandshakeError::failure)
}

/// Returns the alert that ended a peer's handshake.
fn alert(result: io::Result<()>) -> Option<AlertDescription> {
    match result.unwrap_err().get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[test]
fn both_versions_are_spoken_and_what_was_negotiated_is_known() {
    let authority = Authority::new();
    let expected = [
        (TlsVersion::Tls12, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        (TlsVersion::Tls13, "TLS13_AES_256_GCM_SHA384"),
    ];
    for (version, (expected_version, suite)) in VERSIONS.into_iter().zip(expected) {
        let config = authority.client(&[version]);
        let client = move |address| {
            let mut peer = peer(address, config);
            assert_eq!(echoed(&mut peer, b"hello"), b"hello");
            close(peer);
        };
        accept_one(authority.server(), client, async move |stream| {
            let stream = stream.unwrap();
            assert_eq!(stream.protocol_version(), expected_version);
            assert_eq!(stream.cipher_suite(), suite);
            // The client is on ring, which prefers it.
            assert_eq!(stream.key_exchange_group(), "X25519");
            assert_eq!(stream.server_name().as_deref(), Some("localhost"));
            assert_eq!((stream.alpn_protocol(), stream.peer_certificates()), (None, None));
            assert!(!stream.is_resumed());
            echo(&stream).await.unwrap();
        });
    }
}

#[test]
fn a_version_below_the_lowest_is_refused() {
    let authority = Authority::new();
    let pem = authority.certify(&["localhost"]);
    let server = TlsConfig::builder()
        .certificate_pem(pem.certificate, pem.key)
        .min_version(TlsVersion::Tls13)
        .build()
        .unwrap();
    let config = authority.client(&[&rustls::version::TLS12]);
    let client = |address| alert(shake_hands(&mut peer(address, config)));
    let (served, alert) = accept_one(server, client, async |result| failure(&result));
    assert_eq!(served, Some(HandshakeFailure::NoCommonProtocol));
    assert_eq!(alert, Some(AlertDescription::ProtocolVersion));
}

#[test]
fn the_client_gets_the_certificate_for_the_name_that_it_sends() {
    let authority = Authority::new();
    let pems = [
        authority.certify(&["first.example", "localhost"]),
        authority.certify(&["second.example"]),
        authority.certify(&["*.third.example"]),
    ];
    let builder = pems.iter().fold(TlsConfig::builder(), |builder, pem| {
        builder.certificate_pem(&pem.certificate, &pem.key)
    });
    let acceptor = TlsAcceptor::new(builder.build().unwrap());
    for (name, expected) in
        [("second.example", 1), ("www.Third.example", 2), ("first.example", 0), ("127.0.0.1", 0)]
    {
        let config = Arc::new(authority.client(&VERSIONS));
        let expected = pems[expected].der();
        let client = move |address| {
            let mut peer = peer_of(address, config, name);
            // No certificate is for the address, and the first one is refused.
            assert_eq!(shake_hands(&mut peer).is_err(), name == "127.0.0.1");
            let certificates = peer.conn.peer_certificates().map(<[_]>::to_vec);
            assert!(certificates.is_none_or(|certificates| certificates[0] == expected), "{name}");
        };
        accept_one(acceptor.clone(), client, async move |result| {
            assert_eq!(result.is_err(), name == "127.0.0.1", "{result:?}");
        });
    }
    // Of a name that is not known, the server cannot know that the client refuses the certificate.
    let config = Arc::new(authority.client(&VERSIONS));
    let client = move |address| shake_hands(&mut peer_of(address, config, "a.b.third.example"));
    let (served, refused) = accept_one(acceptor, client, async |result| failure(&result));
    assert!(refused.is_err());
    assert_eq!(served, Some(HandshakeFailure::Certificate));
}

#[test]
fn the_first_protocol_of_the_server_that_the_client_offers_is_chosen() {
    let authority = Authority::new();
    let server = authority.server().with_alpn_protocols(["h2", "http/1.1"]);
    for (offered, expected) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1", "spdy"][..], Some("http/1.1")),
        (&[][..], None),
    ] {
        let mut config = authority.client(&VERSIONS);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let client = |address| {
            let mut peer = peer(address, config);
            shake_hands(&mut peer).unwrap();
            peer.conn.alpn_protocol().map(<[u8]>::to_vec)
        };
        let (served, chosen) = accept_one(server.clone(), client, async |stream| {
            let stream = stream.unwrap();
            assert_eq!(stream.is_alpn_protocol("h2"), stream.alpn_protocol() == Some(b"h2".into()));
            stream.alpn_protocol()
        });
        let expected = expected.map(|name| name.as_bytes().to_vec());
        assert_eq!((served, chosen), (expected.clone(), expected));
    }
}

#[test]
fn a_client_that_offers_other_protocols_only_is_refused() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server().with_alpn_protocols(["h2"]));
    let mut config = authority.client(&VERSIONS);
    config.alpn_protocols = vec![b"spdy".to_vec()];
    let client = |address| alert(shake_hands(&mut peer(address, config)));
    let (served, alert) = accept_one(acceptor.clone(), client, async |result| failure(&result));
    assert_eq!(served, Some(HandshakeFailure::NoCommonProtocol));
    assert_eq!(alert, Some(AlertDescription::NoApplicationProtocol));
    let stats = acceptor.stats();
    assert_eq!((stats.handshakes, stats.failed()), (0, 1));
    assert_eq!(stats.failures(HandshakeFailure::NoCommonProtocol), 1);
}

#[test]
fn client_certificates_are_verified_if_they_are_asked_for() {
    let authority = Authority::new();
    let pem = authority.certify(&["localhost"]);
    let builder = || TlsConfig::builder().certificate_pem(&pem.certificate, &pem.key);
    let required = builder().require_client_certificates(authority.roots()).build().unwrap();
    let accepted = builder().accept_client_certificates(authority.roots()).build().unwrap();
    let certificate = authority.certify(&["client.example"]);
    let unknown = Authority::new().certify(&["client.example"]);
    let refused = Some(HandshakeFailure::Certificate);
    for (server, certificate, expected) in [
        (&required, Some(&certificate), None),
        (&required, Some(&unknown), refused),
        (&required, None, refused),
        (&accepted, Some(&certificate), None),
        (&accepted, Some(&unknown), refused),
        (&accepted, None, None),
    ] {
        let config = match certificate {
            Some(certificate) => authority.client_with(certificate),
            None => authority.client(&VERSIONS),
        };
        let client = |address| {
            let mut peer = peer(address, config);
            // The server's verdict comes after the client's part of the handshake.
            let _ = shake_hands(&mut peer);
            let _ = peer.write_all(b"hello");
            peer.read(&mut [0; 5])
        };
        let der = certificate.map(|pem| vec![pem.der()]);
        let (served, echo) = accept_one(server.clone(), client, async move |result| {
            if let Ok(stream) = &result {
                assert_eq!(stream.peer_certificates(), der);
                stream.write_all(b"hello").await.unwrap();
            }
            failure(&result)
        });
        assert_eq!(served, expected);
        assert_eq!(echo.is_err(), expected.is_some());
    }
}

#[test]
fn an_alert_reaches_a_client_that_sends_more_after_its_handshake() {
    let authority = Authority::new();
    let pem = authority.certify(&["localhost"]);
    let server = TlsConfig::builder().certificate_pem(&pem.certificate, &pem.key);
    let server = server.require_client_certificates(authority.roots()).build().unwrap();
    let config = authority.client(&[&rustls::version::TLS13]);
    let client = |address| {
        let mut peer = peer(address, config);
        shake_hands(&mut peer).unwrap();
        // The alert has arrived, and is not looked at.
        peer.sock.peek(&mut [0]).unwrap();
        for _ in 0..10 {
            peer.write_all(b"hello").unwrap();
            peer.flush().unwrap();
        }
        alert(peer.read(&mut [0; 5]).map(drop))
    };
    let (served, alert) = accept_one(server, client, async |result| failure(&result));
    assert_eq!(served, Some(HandshakeFailure::Certificate));
    assert_eq!(alert, Some(AlertDescription::CertificateRequired));
}

#[test]
fn a_session_is_resumed_on_another_loop_and_after_a_reload() {
    let authority = Authority::new();
    for version in VERSIONS {
        let acceptor = TlsAcceptor::new(authority.server());
        let config = Arc::new(authority.client(&[version]));
        let connect = |config: &Arc<rustls::ClientConfig>| {
            let config = config.clone();
            move |address| {
                let mut peer = peer_of(address, config, "localhost");
                // The tickets come with the first response.
                assert_eq!(echoed(&mut peer, b"hello"), b"hello");
                close(peer);
            }
        };
        let serve = async |stream: Result<TlsStream, HandshakeError>| {
            let stream = stream.unwrap();
            echo(&stream).await.unwrap();
            // TLS 1.2 resumes a session with the key that it had.
            let has_group = stream.key_exchange_group() != "unknown";
            let is_tls12 = stream.protocol_version() == TlsVersion::Tls12;
            assert_eq!(has_group, !(is_tls12 && stream.is_resumed()));
            stream.is_resumed()
        };
        let (is_resumed, ()) = accept_one(acceptor.clone(), connect(&config), serve);
        assert!(!is_resumed);
        // Each call of `accept_one` has a loop of its own.
        let (is_resumed, ()) = accept_one(acceptor.clone(), connect(&config), serve);
        assert!(is_resumed, "{version:?}");
        let new = authority.certify(&["localhost"]);
        acceptor.config().replace_pem(&new.certificate, &new.key).unwrap();
        let (is_resumed, ()) = accept_one(acceptor.clone(), connect(&config), serve);
        assert!(is_resumed, "{version:?}");
        let stats = acceptor.stats();
        assert_eq!((stats.handshakes, stats.resumed, stats.failed()), (3, 2, 0));
    }
}

#[test]
fn a_client_that_does_not_speak_tls_is_recognised_and_its_connection_can_be_used() {
    let acceptor = TlsAcceptor::new(Authority::new().server());
    run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = spawn_blocking(move || {
            let mut stream = tcp(address);
            stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).unwrap();
            response
        });
        let (stream, _) = listener.accept().await.unwrap();
        let accepted = acceptor.accept_or_plain(stream).await.unwrap();
        let Accepted::Plain(stream, received) = accepted else { panic!("{accepted:?}") };
        assert_eq!(received, b"GET / HTTP/1.1\r\n");
        stream.write_all(b"400").await.unwrap();
        drop(stream);
        assert_eq!(client.await.unwrap(), "400");
        assert_eq!(acceptor.stats().failures(HandshakeFailure::NotTls), 1);
    });
    let client = |address| {
        let mut stream = tcp(address);
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        // Closed, with or without a reset.
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let server = Authority::new().server();
    let (served, ()) = accept_one(server, client, async |result| failure(&result));
    assert_eq!(served, Some(HandshakeFailure::NotTls));
}

#[test]
fn garbage_that_begins_like_a_handshake_is_refused_with_an_alert() {
    let garbage: [(&[u8], u8); 3] = [
        // A record of a version that does not exist.
        (&[22, 9, 9, 0, 5, 1, 2, 3, 4, 5], 50),
        // A handshake message that is no ClientHello.
        (&[22, 3, 1, 0, 4, 2, 0, 0, 0], 50),
        // A ClientHello whose fields end too early.
        (&[22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3], 50),
    ];
    for (bytes, _) in garbage {
        let client = move |address| {
            let mut stream = tcp(address);
            stream.write_all(bytes).unwrap();
            let mut response = Vec::new();
            stream.read_to_end(&mut response).unwrap();
            response
        };
        let server = Authority::new().server();
        let (served, response) = accept_one(server, client, async |result| failure(&result));
        assert_eq!(served, Some(HandshakeFailure::Protocol), "{bytes:?}");
        // A fatal alert in plain text, RFC 8446 section 6.
        assert_eq!((response[0], response.len(), response[5]), (21, 7, 2), "{bytes:?}");
    }
}

#[test]
fn a_client_that_goes_in_the_handshake_has_closed_the_connection() {
    for sent in [&b""[..], &[22, 3, 1, 2, 0, 1, 0]] {
        let client = move |address| tcp(address).write_all(sent).unwrap();
        let server = Authority::new().server();
        let (served, ()) = accept_one(server, client, async |result| failure(&result));
        assert_eq!(served, Some(HandshakeFailure::Closed));
    }
}

#[test]
fn half_a_client_hello_is_given_up_at_the_deadline() {
    let acceptor = TlsAcceptor::new(Authority::new().server());
    for sent in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]] {
        let acceptor = acceptor.clone();
        // The clock jumps to the deadline.
        run_on_manual_clock(async move {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = tcp(listener.local_addr().unwrap());
            client.write_all(sent).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let began = brigade_runtime::time::now();
            let result = acceptor.accept(stream).await;
            assert_eq!(failure(&result), Some(HandshakeFailure::Timeout));
            assert_eq!(brigade_runtime::time::now() - began, Duration::from_secs(10));
            // With or without a reset.
            let _ = client.read_to_end(&mut Vec::new());
        });
    }
    assert_eq!(acceptor.stats().failures(HandshakeFailure::Timeout), 2);
}

/// A socket that sends each byte on its own.
struct Bytewise(std::net::TcpStream);

impl Read for Bytewise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Bytewise {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(&data[..1])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_handshake_in_pieces_of_one_byte_succeeds() {
    let authority = Authority::new();
    let config = authority.client(&VERSIONS);
    let client = |address| {
        let peer = peer(address, config);
        let mut conn = peer.conn;
        let mut stream = rustls::Stream { conn: &mut conn, sock: &mut Bytewise(peer.sock) };
        stream.write_all(b"hello").unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        echo
    };
    let (result, echo) =
        accept_one(authority.server(), client, async |stream| echo(&stream.unwrap()).await);
    // It did not say that it has sent everything.
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(&echo, b"hello");
}

/// Connects with our connector to our acceptor, both on one loop.
async fn connect(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    name: &str,
) -> (Result<TlsStream, HandshakeError>, Result<TlsStream, HandshakeError>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = acceptor.clone();
    let accept = spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await
    });
    let stream = TcpStream::connect_to(address).await.unwrap();
    let connected = connector.connect(stream, name).await;
    (connected, accept.await.unwrap())
}

#[test]
fn a_connector_verifies_the_name_and_the_authority() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.certify(&["localhost", "127.0.0.1"]).server());
    run(async move {
        let builder = || TlsConnector::builder().roots(authority.roots());
        let connector = builder().build().unwrap();
        for name in ["localhost", "LOCALHOST", "127.0.0.1"] {
            let (client, server) = connect(&acceptor, &connector, name).await;
            let (client, server) = (client.unwrap(), server.unwrap());
            client.write_all(b"hello").await.unwrap();
            let mut received = [0; 5];
            server.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"hello");
            assert_eq!(client.protocol_version(), TlsVersion::Tls13);
            assert_eq!(client.key_exchange_group(), server.key_exchange_group());
            assert!(["X25519MLKEM768", "X25519"].contains(&client.key_exchange_group()));
            assert!(client.peer_certificates().is_some());
        }
        let (client, server) = connect(&acceptor, &connector, "example.org").await;
        assert_eq!(failure(&client), Some(HandshakeFailure::Certificate));
        assert!(client.unwrap_err().to_string().contains("example.org"));
        assert_eq!(failure(&server), Some(HandshakeFailure::Certificate));
        let stranger = TlsConnector::builder().roots(Authority::new().roots()).build().unwrap();
        let (client, _) = connect(&acceptor, &stranger, "localhost").await;
        assert_eq!(failure(&client), Some(HandshakeFailure::Certificate));
    });
}

#[test]
fn a_connector_sends_its_certificate_and_resumes_its_sessions() {
    let authority = Authority::new();
    let pem = authority.certify(&["localhost"]);
    let server = TlsConfig::builder()
        .certificate_pem(pem.certificate, pem.key)
        .require_client_certificates(authority.roots())
        .alpn_protocols(["h2"])
        .build()
        .unwrap();
    run(async move {
        let acceptor = TlsAcceptor::new(server);
        let certificate = authority.certify(&["client.example"]);
        let connector = TlsConnector::builder()
            .roots(authority.roots())
            .certificate_pem(&certificate.certificate, &certificate.key)
            .build()
            .unwrap()
            .with_alpn_protocols(["http/1.1", "h2"]);
        for is_resumed in [false, true] {
            let (client, server) = connect(&acceptor, &connector, "localhost").await;
            let (client, server) = (client.unwrap(), server.unwrap());
            assert_eq!((client.is_resumed(), server.is_resumed()), (is_resumed, is_resumed));
            assert_eq!(server.peer_certificates(), Some(vec![certificate.der()]));
            assert!(client.is_alpn_protocol("h2") && server.is_alpn_protocol("h2"));
            // The tickets come with the first read.
            server.write_all(b"!").await.unwrap();
            client.read_exact(&mut [0]).await.unwrap();
        }
    });
}

#[test]
fn a_connector_gives_up_at_its_deadline_and_when_the_server_goes() {
    let authority = Authority::new();
    let connector = TlsConnector::builder().roots(authority.roots()).build().unwrap();
    run_on_manual_clock(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect_to(address).await.unwrap();
        let result = connector.connect(stream, "localhost").await;
        assert_eq!(failure(&result), Some(HandshakeFailure::Timeout));
        let stream = TcpStream::connect_to(address).await.unwrap();
        listener.accept().await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        accepted.shutdown(Shutdown::Both).unwrap();
        let result = connector.connect(stream, "localhost").await;
        assert_eq!(failure(&result), Some(HandshakeFailure::Closed));
        let stream = TcpStream::connect_to(address).await.unwrap();
        let error = connector.connect(stream, "not a name").await.unwrap_err();
        assert_eq!(error.failure(), HandshakeFailure::Io);
        assert!(error.to_string().contains("\"not a name\""), "{error}");
    });
}

#[test]
fn an_error_can_be_sent_to_another_thread() {
    let thread = run_in_thread("handshake", || async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(tcp(listener.local_addr().unwrap()));
        let (stream, _) = listener.accept().await.unwrap();
        let result = TlsAcceptor::new(Authority::new().server()).accept(stream).await;
        result.map(drop)
    });
    let error = thread.unwrap().join().unwrap().unwrap_err();
    assert_eq!(error.failure(), HandshakeFailure::Closed);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::UnexpectedEof);
}
