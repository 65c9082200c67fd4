//! WebSockets of a server: the handshake, and how a handler sends, receives and ends.
#![forbid(unsafe_code)]
#![cfg(feature = "websocket")]

// std
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

// crates
use brigade_http::websocket::{
    CloseFrame, Message, WebSocketRejection, WebSocketSender, WsError, close_code,
};
use brigade_http::{
    HandlerError, IntoResponse, Router, Server, WebSocket, WebSocketUpgrade, any, get,
};
use brigade_runtime::{spawn, task};
use futures_util::StreamExt;

// ours
mod sockets;
mod websocket_peer;
use sockets::{PATIENCE, TestServer};
use websocket_peer::{BINARY, CLOSE, HANDSHAKE, PING, PONG, Peer, TEXT, close, frame};

/// Starts a server whose WebSockets run `handler`, with the options that `options` sets.
fn start<H>(options: fn(WebSocketUpgrade) -> WebSocketUpgrade, handler: H) -> TestServer
where
    H: AsyncFn(WebSocket) + Clone + Send + 'static,
{
    TestServer::start(move || {
        let handler = handler.clone();
        let accept = async move |ws: WebSocketUpgrade| {
            let handler = handler.clone();
            options(ws).on_upgrade(async move |socket| handler(socket).await)
        };
        Router::new().route("/", get(accept))
    })
}

/// Starts a server whose WebSockets run `handler`. What the handler sends arrives at the receiver.
fn start_reporting<T, H>(
    options: fn(WebSocketUpgrade) -> WebSocketUpgrade,
    handler: H,
) -> (TestServer, Receiver<T>)
where
    T: Send + 'static,
    H: AsyncFn(WebSocket, Sender<T>) + Clone + Send + 'static,
{
    let (sender, receiver) = channel();
    let server = start(options, async move |socket| handler(socket, sender.clone()).await);
    (server, receiver)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if message.is_data() && socket.send(message).await.is_err() {
            break;
        }
    }
}

#[test]
fn a_request_that_is_no_valid_handshake_is_refused_with_the_status_that_says_why() {
    let server = TestServer::start(|| {
        Router::new().route("/", any(async |ws: WebSocketUpgrade| ws.on_upgrade(echo)))
    });
    let without = |name: &str| {
        let lines = HANDSHAKE.split_inclusive("\r\n");
        lines.filter(|line| !line.starts_with(name)).collect::<String>()
    };
    let with = |name: &str, value: &str| format!("{}{name}: {value}\r\n", without(name));
    let key = "Sec-WebSocket-Key";
    for (method, headers, status) in [
        ("GET", String::new(), 426),
        ("GET", without("Connection"), 426),
        ("GET", without("Upgrade"), 426),
        ("GET", with("Upgrade", "h2c"), 426),
        ("GET", with("Sec-WebSocket-Version", "12"), 426),
        ("GET", with("Sec-WebSocket-Version", "13, 8"), 426),
        ("GET", without("Sec-WebSocket-Version"), 400),
        ("GET", without(key), 400),
        ("GET", with(key, ""), 400),
        ("GET", with(key, "dGhlIHNhbXBsZQ=="), 400),
        ("GET", with(key, "dGhlIHNhbXBsZSBub25jZ!=="), 400),
        ("GET", format!("{HANDSHAKE}{key}: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        ("POST", format!("{HANDSHAKE}Content-Length: 0\r\n"), 405),
    ] {
        let mut client = server.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n{headers}\r\n"));
        let response = client.response();
        assert_eq!(response.status, status, "{method} {headers}: {}", response.text());
        match status {
            405 => assert_eq!(response.header("allow"), Some("get")),
            _ => {
                assert_eq!(response.header("upgrade"), Some("websocket"), "{headers}");
                assert_eq!(response.header("connection"), Some("upgrade"), "{headers}");
                assert_eq!(response.header("sec-websocket-version"), Some("13"), "{headers}");
            }
        }
    }
}

#[test]
fn a_handler_can_serve_a_page_to_those_who_ask_for_no_websocket() {
    let server = TestServer::start(|| {
        let page = async |ws: Option<WebSocketUpgrade>| match ws {
            Some(ws) => ws.on_upgrade(echo),
            None => "a page".into_response(),
        };
        Router::new().route("/", get(page))
    });
    let mut client = server.connect();
    client.send(sockets::get("/"));
    assert_eq!(client.response().text(), "a page");
    Peer::connect(&server, "/").end();
}

#[test]
fn a_valid_handshake_is_completed_with_the_accept_key() {
    let server = start(|ws| ws, echo);
    for headers in [
        HANDSHAKE.to_owned(),
        HANDSHAKE.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
        HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
    ] {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{headers}\r\n"));
        let response = client.response();
        assert_eq!(response.status, 101);
        // RFC 6455 section 1.3, in lower case.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_lowercase();
        assert_eq!(response.header("sec-websocket-accept"), Some(&*accept));
        assert_eq!(response.header("sec-websocket-protocol"), None);
        Peer { client }.end();
    }
}

#[test]
fn the_first_known_subprotocol_that_the_client_speaks_is_selected() {
    let server = start(|ws| ws.protocols(["chat.v3", "chat.v2", "chat.v1"]), echo);
    for (requested, selected) in [
        ("chat.v1, chat.v2", Some("chat.v2")),
        ("chat.v1\r\nSec-WebSocket-Protocol: other,chat.v2", Some("chat.v2")),
        ("CHAT.V1", None),
        ("chat.v", None),
        ("", None),
    ] {
        let mut client = server.connect();
        let protocol = format!("Sec-WebSocket-Protocol: {requested}\r\n");
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{HANDSHAKE}{protocol}\r\n"));
        let response = client.response();
        assert_eq!(response.status, 101);
        assert_eq!(response.header("sec-websocket-protocol"), selected, "{requested}");
    }
}

#[test]
fn pages_of_other_origins_are_refused_and_other_clients_are_not() {
    let server = TestServer::start(|| {
        let same = async |ws: WebSocketUpgrade| {
            Ok::<_, WebSocketRejection>(ws.same_origin()?.on_upgrade(echo))
        };
        let listed = async |ws: WebSocketUpgrade| {
            Ok::<_, HandlerError>(ws.allow_origins(["https://a.example"])?.on_upgrade(echo))
        };
        Router::new().route("/same", get(same)).route("/listed", get(listed))
    });
    for (path, origin, status) in [
        ("/same", "Origin: http://test\r\n", 101),
        ("/same", "Origin: https://test:443\r\n", 101),
        ("/same", "", 101),
        ("/same", "Origin: https://evil.example\r\n", 403),
        ("/same", "Origin: null\r\n", 403),
        ("/listed", "Origin: https://a.example\r\n", 101),
        ("/listed", "", 101),
        ("/listed", "Origin: http://test\r\n", 403),
    ] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{HANDSHAKE}{origin}\r\n"));
        assert_eq!(client.response().status, status, "{path} {origin}");
    }
}

#[test]
fn a_socket_that_is_dropped_is_closed_with_1000() {
    let server = start(|ws| ws, async |socket| drop(socket));
    let mut peer = Peer::connect(&server, "/");
    assert_eq!(peer.receive_close(), 1000);
    peer.send(CLOSE, close(1000, ""));
    assert_eq!(peer.client.rest(), "");
}

#[test]
fn a_handler_that_panics_closes_with_1011_and_its_loop_goes_on() {
    let server = start(
        |ws| ws,
        async |mut socket| {
            let message = socket.recv().await;
            panic!("{message:?}");
        },
    );
    let mut peer = Peer::connect(&server, "/");
    peer.send(TEXT, "x");
    assert_eq!(peer.receive_close(), 1011);
    peer.send(CLOSE, close(1011, ""));
    assert_eq!(peer.client.rest(), "");
    drop(Peer::connect(&server, "/"));
}

#[test]
fn close_waits_for_the_close_frame_of_the_peer_and_discards_messages() {
    let (server, closed) = start_reporting(
        |ws| ws,
        async |socket, report| {
            let frame = CloseFrame { code: 4000, reason: "enough".into() };
            report.send(socket.close(Some(frame)).await.is_ok()).unwrap();
        },
    );
    let mut peer = Peer::connect(&server, "/");
    assert_eq!(peer.receive(), (CLOSE, close(4000, "enough")));
    peer.send(TEXT, "still here");
    closed.try_recv().unwrap_err();
    peer.send(CLOSE, close(4000, ""));
    assert!(closed.recv_timeout(PATIENCE).unwrap());
    assert_eq!(peer.client.rest(), "");
}

#[test]
fn nothing_is_sent_after_a_close_frame_and_nothing_invalid_before() {
    let (server, errors) = start_reporting(
        |ws| ws,
        async |mut socket, report| {
            let invalid = [
                Message::Ping(vec![0; 126].into()),
                Message::close(1005, ""),
                Message::close(1000, "x".repeat(124)),
            ];
            for message in invalid {
                let error = socket.send(message).await.unwrap_err();
                assert!(matches!(error, WsError::Invalid(_)), "{error}");
            }
            socket.send(Message::close(1000, "")).await.unwrap();
            let error = socket.send("late".into()).await.unwrap_err();
            assert!(matches!(error, WsError::Closed), "{error}");
            assert!(matches!(socket.recv().await, Some(Ok(Message::Text(_)))));
            assert!(matches!(socket.recv().await, Some(Ok(Message::Close(None)))));
            assert!(socket.recv().await.is_none() && socket.recv().await.is_none());
            report.send(()).unwrap();
        },
    );
    let mut peer = Peer::connect(&server, "/");
    assert_eq!(peer.receive_close(), 1000);
    peer.send(TEXT, "sent before the close was received");
    peer.send(CLOSE, "");
    assert_eq!(peer.client.rest(), "");
    errors.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_peer_that_disconnects_without_a_close_is_an_error_once() {
    let (server, errors) = start_reporting(
        |ws| ws,
        async |mut socket, report| {
            let first = socket.recv().await;
            assert!(matches!(first, Some(Err(WsError::Disconnected))), "{first:?}");
            assert!(socket.recv().await.is_none());
            assert!(matches!(socket.send("x".into()).await, Err(WsError::Closed)));
            report.send(()).unwrap();
        },
    );
    let peer = Peer::connect(&server, "/");
    peer.client.stream.shutdown(Shutdown::Both).unwrap();
    errors.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn the_halves_work_in_two_tasks_after_the_handler_has_ended() {
    let server = start(
        |ws| ws,
        async |socket| {
            let (sender, mut receiver) = socket.split();
            let (queue, mut queued) = brigade_runtime::local::channel::<Message>(10);
            spawn(async move {
                while let Some(message) = queued.recv().await {
                    sender.send(message).await.unwrap();
                }
            })
            .detach();
            spawn(async move {
                while let Some(Ok(message @ Message::Text(_))) = receiver.recv().await {
                    queue.send(message).await.unwrap();
                }
            })
            .detach();
        },
    );
    let mut peer = Peer::connect(&server, "/");
    for n in 0..100 {
        let text = format!("message {n}");
        peer.send(TEXT, &text);
        assert_eq!(peer.receive(), (TEXT, text.into_bytes()));
    }
    // The receiver ends at a message that is no text, and then the sender.
    peer.send(BINARY, "");
    assert_eq!(peer.receive_close(), 1000);
}

#[test]
fn a_close_is_responded_to_when_the_receiving_half_is_dropped() {
    let server = start(
        |ws| ws,
        async |socket| {
            let (_sender, receiver) = socket.split();
            drop(receiver);
            brigade_runtime::server::draining().await;
        },
    );
    let mut peer = Peer::connect(&server, "/");
    peer.client.send([frame(TEXT, "discarded"), frame(PING, "p")].concat());
    assert_eq!(peer.receive(), (PONG, b"p".to_vec()));
    peer.send(CLOSE, close(1000, ""));
    assert_eq!(peer.receive_close(), 1000);
}

#[test]
fn a_message_that_another_task_sends_is_written_while_the_handler_waits() {
    let server = start(
        |ws| ws,
        async |socket| {
            let (sender, _receiver) = socket.split();
            spawn(async move {
                for n in 0..3 {
                    task::yield_now().await;
                    sender.try_send(Message::text(n.to_string())).unwrap();
                }
            })
            .detach();
            brigade_runtime::server::draining().await;
        },
    );
    let mut peer = Peer::connect(&server, "/");
    for n in 0..3 {
        assert_eq!(peer.receive(), (TEXT, n.to_string().into_bytes()));
    }
}

#[test]
fn a_socket_is_a_stream_and_a_sink() {
    let server = start(
        |ws| ws,
        async |socket| {
            let (sink, stream) = StreamExt::split(socket);
            stream.take(3).forward(sink).await.unwrap();
        },
    );
    let mut peer = Peer::connect(&server, "/");
    for text in ["a", "b", "c"] {
        peer.send(TEXT, text);
        assert_eq!(peer.receive(), (TEXT, text.into()));
    }
    assert_eq!(peer.receive_close(), 1000, "`forward` closes the sink");
}

#[test]
fn a_receive_that_is_dropped_loses_no_message() {
    let server = start(
        |ws| ws,
        async |mut socket| {
            loop {
                let received = {
                    let mut receive = pin!(socket.recv());
                    let first =
                        poll_fn(|cx| std::task::Poll::Ready(receive.as_mut().poll(cx))).await;
                    match first {
                        std::task::Poll::Ready(message) => message,
                        std::task::Poll::Pending => None,
                    }
                };
                match received {
                    Some(Ok(message)) if message.is_data() => socket.send(message).await.unwrap(),
                    Some(_) => break,
                    None => brigade_runtime::time::sleep(Duration::from_micros(100)).await,
                }
            }
        },
    );
    let mut peer = Peer::connect(&server, "/");
    let large = vec![1; 300_000];
    peer.client.send([frame(TEXT, "a"), frame(TEXT, "b"), frame(BINARY, &large)].concat());
    assert_eq!(peer.receive(), (TEXT, b"a".to_vec()));
    assert_eq!(peer.receive(), (TEXT, b"b".to_vec()));
    assert_eq!(peer.receive(), (BINARY, large));
    peer.end();
}

#[test]
fn a_silent_peer_is_pinged_and_kept_while_it_responds() {
    let options = |ws: WebSocketUpgrade| ws.ping_interval(Duration::from_millis(20));
    let (server, messages) = start_reporting(options, async |mut socket, report| {
        while let Some(message) = socket.recv().await {
            report.send(message.unwrap()).unwrap();
        }
    });
    let mut peer = Peer::connect(&server, "/");
    for _ in 0..5 {
        assert_eq!(peer.receive(), (PING, vec![]));
        peer.send(PONG, "");
    }
    peer.send(CLOSE, "");
    // The handler does not see the pongs to these pings.
    assert_eq!(messages.recv_timeout(PATIENCE).unwrap(), Message::Close(None));
}

#[test]
fn a_peer_that_does_not_respond_to_a_ping_is_given_up() {
    let options = |ws: WebSocketUpgrade| {
        ws.ping_interval(Duration::from_millis(20)).pong_timeout(Duration::from_millis(50))
    };
    let (server, errors) = start_reporting(options, async |mut socket, report| {
        let received = socket.recv().await;
        report.send(matches!(received, Some(Err(WsError::Timeout(_))))).unwrap();
        assert!(socket.recv().await.is_none());
    });
    let mut peer = Peer::connect(&server, "/");
    assert_eq!(peer.receive(), (PING, vec![]));
    assert!(errors.recv_timeout(PATIENCE).unwrap());
}

#[test]
fn a_handler_that_does_not_receive_does_not_make_its_peer_seem_dead() {
    let options = |ws: WebSocketUpgrade| {
        ws.ping_interval(Duration::from_millis(20)).pong_timeout(Duration::from_millis(50))
    };
    let (server, messages) = start_reporting(options, async |mut socket, report| {
        // Several times as long as an unanswered ping would take.
        brigade_runtime::time::sleep(Duration::from_millis(300)).await;
        while let Some(Ok(message)) = socket.recv().await {
            report.send(message).unwrap();
        }
    });
    let mut peer = Peer::connect(&server, "/");
    assert_eq!(peer.receive(), (PING, vec![]));
    peer.client.send([frame(PONG, ""), frame(TEXT, "waiting")].concat());
    assert_eq!(messages.recv_timeout(PATIENCE).unwrap(), Message::text("waiting"));
}

#[test]
fn without_pings_a_silent_peer_is_given_up_after_the_idle_timeout_of_the_server() {
    let timeouts = brigade_http::Timeouts {
        upgraded_idle: Duration::from_millis(50),
        ..brigade_http::Timeouts::default()
    };
    let options = move |server: Server| server.loops(1).pin(false).timeouts(timeouts);
    let server = TestServer::start_with(options, || {
        let accept = async |ws: WebSocketUpgrade| ws.ping_interval(None).on_upgrade(echo);
        Router::new().route("/", get(accept))
    });
    let mut peer = Peer::connect(&server, "/");
    assert!(matches!(std::io::Read::read(&mut peer.client.stream, &mut [0; 10]), Ok(0) | Err(_)));
}

#[test]
fn try_send_fails_and_send_waits_while_the_peer_takes_nothing() {
    let options = |ws: WebSocketUpgrade| ws.max_write_buffer_size(100_000);
    let (server, sent) = start_reporting(options, async |socket, report| {
        let message = Message::binary(vec![7; 50_000]);
        let mut count = 0_u32;
        loop {
            match socket.try_send(message.clone()) {
                Ok(()) => count += 1,
                Err(WsError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        report.send(count).unwrap();
        socket.send(message).await.unwrap();
        socket.flush().await.unwrap();
    });
    let mut peer = Peer::connect(&server, "/");
    let count = sent.recv_timeout(PATIENCE).unwrap();
    for _ in 0..count + 1 {
        assert_eq!(peer.receive().1.len(), 50_000);
    }
    assert_eq!(peer.receive_close(), 1000);
}

#[test]
fn pongs_that_the_peer_does_not_take_do_not_pile_up() {
    let options = |ws: WebSocketUpgrade| ws.max_write_buffer_size(10_000);
    let server = start(options, echo);
    let mut peer = Peer::connect(&server, "/");
    let mut reader = sockets::of(peer.client.stream.try_clone().unwrap());
    // More than the buffers of both sockets and of the server can hold.
    let pings = frame(PING, [b'*'; 125]).repeat(1000);
    for _ in 0..100 {
        peer.client.send(&pings);
    }
    peer.send(PING, "last");
    let mut pongs = Peer { client: reader };
    loop {
        let (first, payload) = pongs.receive();
        assert_eq!(first, PONG);
        if payload == b"last" {
            break;
        }
    }
    reader = pongs.client;
    drop(reader);
    peer.end();
}

#[test]
fn a_flood_of_tiny_frames_lets_other_tasks_run() {
    const FRAMES: usize = 10_000;
    let (server, polls) = start_reporting(
        |ws| ws,
        async |mut socket, report| {
            let mut polls = 0;
            let message = {
                let mut receive = pin!(socket.recv());
                poll_fn(|cx| {
                    polls += 1;
                    receive.as_mut().poll(cx)
                })
                .await
            };
            assert!(matches!(message, Some(Ok(Message::Text(_)))));
            report.send(polls).unwrap();
        },
    );
    let mut peer = Peer::connect(&server, "/");
    peer.client.send([frame(0x01, ""), frame(0x00, "").repeat(FRAMES), frame(0x80, "")].concat());
    let polls = polls.recv_timeout(PATIENCE).unwrap();
    assert!(polls >= FRAMES / 64, "{polls} polls for {FRAMES} frames");
}

#[test]
fn a_drain_closes_with_1001_and_the_server_ends() {
    let (mut server, messages) = start_reporting(
        |ws| ws,
        async |mut socket, report| {
            while let Some(message) = socket.recv().await {
                report.send(message.unwrap()).unwrap();
            }
        },
    );
    let mut peer = Peer::connect(&server, "/");
    server.begin_shutdown();
    assert_eq!(peer.receive_close(), close_code::AWAY);
    peer.send(TEXT, "sent before the close was received");
    peer.send(CLOSE, close(1001, ""));
    assert_eq!(peer.client.rest(), "");
    let received: Vec<_> = messages.iter().take(2).collect();
    let text = Message::text("sent before the close was received");
    assert_eq!(received, [text, Message::close(1001, "")]);
    let reports = server.join();
    assert!(reports.iter().all(|report| report.cancelled_connections.is_empty()));
}

#[test]
fn a_broadcast_reaches_all_members_and_their_senders_do_not_outlive_the_connection() {
    type Members = Rc<RefCell<Vec<WebSocketSender>>>;
    let server = TestServer::start(|| {
        let members: Members = Rc::default();
        let accept = async move |ws: WebSocketUpgrade| {
            let members = members.clone();
            ws.on_upgrade(async move |socket| {
                let (sender, mut receiver) = socket.split();
                members.borrow_mut().push(sender);
                while let Some(Ok(message @ Message::Text(_))) = receiver.recv().await {
                    let is_open =
                        |member: &WebSocketSender| member.try_send(message.clone()).is_ok();
                    members.borrow_mut().retain(is_open);
                }
            })
        };
        Router::new().route("/", get(accept))
    });
    let mut peers: Vec<_> = (0..10).map(|_| Peer::connect(&server, "/")).collect();
    // All have joined once each has received a message of its own, and of those before it.
    for n in 0..10 {
        peers[n].send(TEXT, format!("from {n}"));
        assert_eq!(peers[n].receive(), (TEXT, format!("from {n}").into_bytes()));
        for (other, peer) in peers.iter_mut().enumerate().filter(|(other, _)| *other != n) {
            let received = peer.receive();
            assert_eq!(received, (TEXT, format!("from {n}").into_bytes()), "{other}");
        }
    }
    peers.into_iter().for_each(Peer::end);
    // The senders are still in the list.
    assert!(server.join().iter().all(|report| report.cancelled_connections.is_empty()));
}
