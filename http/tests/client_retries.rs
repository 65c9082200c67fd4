//! When the client sends a request again, and when it gives it back.
#![forbid(unsafe_code)]

mod scripted;
mod unix;

use std::cell::Cell;
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use brigade_http::{Body, Client, ClientBuilder, ClientErrorKind, TimeoutKind};
use brigade_runtime::net::{TcpSocket, UnixListener};
use brigade_runtime::{spawn, time};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use scripted::{Host, answering, ok, on_loop, script};
use unix::{Folder, Visitor};

const SECOND: Duration = Duration::from_secs(1);

/// Returns a URL that refuses connections while the socket is kept, which is bound to its port and
/// does not listen.
fn nobody() -> (String, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (format!("http://{}/", socket.local_addr().unwrap()), socket)
}

/// A stream of one part, and how many times it has been polled.
fn counted() -> (Body, Rc<Cell<u32>>) {
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let parts = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"streamed"))]);
    (Body::stream(parts.inspect(move |_| count.update(|polls| polls + 1))), polls)
}

/// Accepts connections, reads the head of a request on each and closes it, except for the last of
/// `count`, which gets a response. Returns the methods of the requests.
async fn closes_all_but_the_last(host: Host, count: usize) -> Vec<String> {
    let mut methods = Vec::new();
    for at in 1..=count {
        let accepted = time::timeout(60 * SECOND, host.accept()).await;
        let Ok(mut peer) = accepted else { break };
        let head = peer.head().await;
        methods.push(head.split(' ').next().unwrap().to_owned());
        if at == count {
            peer.send(ok("at last")).await;
        }
    }
    methods
}

#[test]
fn an_idempotent_request_is_sent_again_after_growing_pauses() {
    on_loop(async {
        let (url, server) = script(|host| closes_all_but_the_last(host, 4));
        let client = Client::builder().retries(3).retry_backoff(SECOND).build();
        let began = time::now();
        let mut response = client.put(&url).body("all of it").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "at last");
        assert_eq!(time::now() - began, 7 * SECOND, "1, 2 and 4 s");
        assert_eq!(server.await.unwrap(), ["PUT"; 4]);
    });
}

#[test]
fn a_request_is_sent_again_only_as_often_as_the_option_says() {
    on_loop(async {
        let (url, server) = script(|host| closes_all_but_the_last(host, 4));
        let client = Client::builder().retries(2).build();
        let error = client.get(&url).send().await.unwrap_err();
        let is_lost =
            matches!(error.kind(), ClientErrorKind::NoResponse | ClientErrorKind::Broken(_));
        assert!(is_lost && error.into_request().is_none());
        assert_eq!(server.await.unwrap(), ["GET"; 3]);
    });
}

#[test]
fn a_request_that_was_sent_and_is_not_idempotent_is_not_sent_again() {
    for method in [Method::POST, Method::PATCH] {
        on_loop(async move {
            let (url, server) = script(|host| closes_all_but_the_last(host, 2));
            let client = Client::builder().retries(5).build();
            let error = client.request(method.clone(), &url).send().await.unwrap_err();
            assert!(error.into_request().is_none());
            assert_eq!(server.await.unwrap(), [method.as_str()]);
        });
    }
}

#[test]
fn a_stream_that_was_begun_is_not_sent_again() {
    on_loop(async {
        let (url, server) = script(|host| closes_all_but_the_last(host, 2));
        let client = Client::builder().retries(5).build();
        let (body, _) = counted();
        let error = client.put(&url).body(body).send().await.unwrap_err();
        assert!(error.into_request().is_none());
        assert_eq!(server.await.unwrap(), ["PUT"]);
    });
}

#[test]
fn a_response_is_no_reason_to_send_a_request_again() {
    on_loop(async {
        let (url, server) = answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let client = Client::builder().retries(5).build();
        assert_eq!(client.get(&url).send().await.unwrap().status(), 503);
        drop(client);
        assert_eq!(server.await.unwrap().rest().await, b"");
    });
}

#[test]
fn a_timeout_of_the_response_is_no_reason_to_send_a_request_again() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.rest().await;
            time::timeout(60 * SECOND, host.accept()).await.is_err()
        });
        let client = Client::builder().retries(5).head_timeout(SECOND).build();
        let error = client.get(&url).send().await.unwrap_err();
        assert!(error.is_timeout() && error.into_request().is_none());
        assert!(server.await.unwrap(), "there is no second request");
    });
}

#[test]
fn any_request_waits_for_a_server_that_is_not_up_yet() {
    on_loop(async {
        let folder = Folder::new("up_later");
        let path = folder.path("socket");
        let client = Client::builder().unix_socket(&path).retries(5).build();
        let server = spawn(async move {
            time::sleep(Duration::from_millis(500)).await;
            let mut peer = Visitor::accept(&UnixListener::bind(path).unwrap()).await;
            let received = peer.until("0\r\n\r\n").await;
            peer.send(&ok("hi")).await;
            received
        });
        let (body, _) = counted();
        let began = time::now();
        let mut response = client.post("http://a/").body(body).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "hi");
        assert_eq!((time::now() - began).as_millis(), 700, "100, 200 and 400 ms");
        assert!(server.await.unwrap().contains("\r\n8\r\nstreamed\r\n"));
    });
}

#[test]
fn a_retry_that_would_outlast_the_total_timeout_is_not_waited_for() {
    on_loop(async {
        let (url, _port) = nobody();
        let client = Client::builder().retries(100).retry_backoff(2 * SECOND).timeout(5 * SECOND);
        let client = client.build();
        let began = time::now();
        let error = client.get(&url).send().await.unwrap_err();
        assert!(error.is_connect() && !error.is_timeout(), "{error}");
        assert_eq!(time::now() - began, 2 * SECOND, "the next pause is of 4 s");
        assert!(error.into_request().is_some());
    });
}

#[test]
fn pauses_grow_up_to_ten_seconds() {
    on_loop(async {
        let (url, _port) = nobody();
        let client = Client::builder().retries(4).retry_backoff(4 * SECOND).build();
        let began = time::now();
        assert!(client.get(&url).send().await.unwrap_err().is_connect());
        assert_eq!(time::now() - began, (4 + 8 + 10 + 10) * SECOND);
    });
}

#[test]
fn a_request_that_was_not_sent_is_given_back_and_can_be_sent_elsewhere() {
    on_loop(async {
        let (url, _port) = nobody();
        let client = Client::new();
        let (body, polls) = counted();
        let request = client.post(&url).header("x-mine", "1").body(body);
        let mut error = request.timeout(5 * SECOND).send().await.unwrap_err();
        assert!(error.is_connect());
        let request = error.take_request().unwrap();
        assert!(error.take_request().is_none(), "it is taken");
        assert_eq!(polls.get(), 0);

        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            let received = peer.until("0\r\n\r\n").await;
            peer.send(ok("hi")).await;
            received
        });
        let url = format!("{url}elsewhere");
        let mut response = request.url(&url).send().await.unwrap();
        assert_eq!((response.text().await.unwrap().as_str(), response.url()), ("hi", &url[..]));
        let received = server.await.unwrap();
        assert!(received.starts_with("POST /elsewhere HTTP/1.1\r\n"), "{received}");
        assert!(received.contains("\r\nx-mine: 1\r\n"), "{received}");
        assert!(received.ends_with("\r\n\r\n8\r\nstreamed\r\n0\r\n\r\n"), "{received}");
        let port = url.split(':').nth(2).unwrap().split('/').next().unwrap();
        assert!(received.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{received}");
    });
}

#[test]
fn a_request_that_timed_out_while_connecting_is_given_back() {
    // One connection fills its backlog.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _filling = std::net::TcpStream::connect(address).unwrap();
    let outcome = |options: fn(ClientBuilder) -> ClientBuilder| {
        on_loop(async move {
            let client = options(Client::builder()).build();
            let error = client.post(format!("http://{address}/")).send().await.unwrap_err();
            let kind = match error.kind() {
                ClientErrorKind::Timeout(kind, _) => *kind,
                kind => panic!("{kind}"),
            };
            (kind, error.into_request().is_some())
        })
    };
    let connect = outcome(|client| client.connect_timeout(SECOND));
    assert_eq!(connect, (TimeoutKind::Connect, true));
    let total = outcome(|client| client.timeout(SECOND));
    assert_eq!(total, (TimeoutKind::Total, true));
}

#[test]
fn a_stream_is_untouched_if_the_server_closes_before_anything_is_sent() {
    for retries in [0, 1] {
        on_loop(async move {
            let folder = Folder::new(&format!("closes_first_{retries}"));
            let path = folder.path("socket");
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let server = spawn(async move {
                // The client has connected and waits for its event; this runs before that.
                drop(listener.accept().unwrap());
                let mut peer = Visitor::accept(&UnixListener::from_std(listener).unwrap()).await;
                let received = peer.until("0\r\n\r\n").await;
                peer.send(&ok("hi")).await;
                received
            });
            let client = Client::builder().unix_socket(&path).retries(retries).build();
            let (body, polls) = counted();
            let mut sent = client.post("http://a/").body(body).send().await;
            if let Err(error) = &mut sent {
                assert!(matches!(error.kind(), ClientErrorKind::Broken(_)), "{error}");
                assert_eq!((polls.get(), retries), (0, 0));
                let request = error.take_request().unwrap();
                sent = request.send().await;
            }
            assert_eq!(sent.unwrap().text().await.unwrap(), "hi");
            assert!(server.await.unwrap().contains("\r\n8\r\nstreamed\r\n"));
        });
    }
}

#[test]
fn a_request_that_is_invalid_is_not_given_back() {
    on_loop(async {
        let client = Client::new();
        for request in [client.get("ftp://a/"), client.get("http://a/").header("a b", "c")] {
            assert!(request.send().await.unwrap_err().into_request().is_none());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let request = client.get(&url).header("host", "a b");
        let error = request.send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Encode(_)));
        assert!(error.into_request().is_none());
    });
}

#[test]
fn an_error_with_its_request_may_go_to_another_thread() {
    let (url, _port) = nobody();
    let fail = move || {
        let url = url.clone();
        on_loop(async move { Client::new().get(&url).send().await.unwrap_err() })
    };
    let mut here = fail();
    assert!(here.take_request().is_some());
    let (error, second) = (fail(), fail());
    let elsewhere = thread::spawn(move || {
        drop(second);
        error.is_connect() && error.into_request().is_none()
    });
    assert!(elsewhere.join().unwrap());
    // The requests that were left are dropped here.
    assert!(fail().into_request().is_some());
    let outlives = thread::spawn(fail).join().unwrap();
    assert!(outlives.is_connect() && outlives.into_request().is_none());
}
