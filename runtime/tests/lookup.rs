//! Name lookups beside work that blocks.

use std::net::TcpListener;

use brigade_runtime::net::TcpStream;
use brigade_runtime::{run, spawn_blocking};

/// More than the blocking pool has threads.
const BLOCKED: usize = 513;

#[test]
fn names_are_resolved_while_the_blocking_pool_is_full() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    run(async move {
        // The work ends when the senders are dropped.
        let (senders, blocked): (Vec<_>, Vec<_>) = (0..BLOCKED)
            .map(|_| {
                let (sender, receiver) = std::sync::mpsc::channel::<()>();
                (sender, spawn_blocking(move || receiver.recv().is_err()))
            })
            .unzip();
        for _ in 0..3 {
            let stream = TcpStream::connect(("localhost", port)).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap().port(), port);
        }
        drop(senders);
        for blocked in blocked {
            assert!(blocked.await.unwrap());
        }
    });
}

#[test]
fn many_names_are_resolved_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    run(async move {
        let connect = |_| TcpStream::connect(("localhost", port));
        let connected = brigade_runtime::gather_all((0..100).map(connect)).await;
        assert_eq!(connected.into_iter().filter(Result::is_ok).count(), 100);
    });
}
