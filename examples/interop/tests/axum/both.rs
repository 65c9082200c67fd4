//! The same axum application on two servers: by `axum::serve` on tokio, and on brigade's loops.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use brigade::http::{Limits, Peer, Server};

use crate::case::{Case, Seen};
use crate::common::client::Client;

/// Larger than the limits of the applications, so that theirs hold on both servers.
const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Two servers with the same application.
pub(crate) struct Both {
    tokio: Running,
    brigade: Running,
}

/// A server on a thread of its own, which ends when this is dropped.
struct Running {
    address: String,
    stop: Option<Box<dyn FnOnce()>>,
    thread: Option<JoinHandle<()>>,
}

impl Both {
    pub(crate) fn start(app: &Router) -> Self {
        Self::start_each(app.clone(), app.clone())
    }

    /// Starts servers with applications that should respond the same.
    pub(crate) fn start_each(on_tokio: Router, on_brigade: Router) -> Self {
        Self { tokio: self::on_tokio(on_tokio), brigade: self::on_brigade(on_brigade) }
    }

    /// Sends each request to both servers, and to brigade's also on one connection with the others.
    /// Asserts that the responses are the same and have the expected status.
    #[track_caller]
    pub(crate) fn assert_same(&self, cases: &[Case]) {
        let mut kept = None;
        let mut differences = Vec::new();
        for case in cases {
            let expected = case.run(&mut self.tokio.connect());
            let found = case.run(&mut self.brigade.connect());
            let mut connection = kept.take().unwrap_or_else(|| self.brigade.connect());
            let reused = case.run(&mut connection);
            if !reused.closes() {
                kept = Some(connection);
            }
            for (server, seen) in [("brigade", &found), ("brigade, reused", &reused)] {
                if *seen != expected || seen.status() != case.status() {
                    differences.push(describe(case, &expected, server, seen));
                }
            }
        }
        assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    }
}

fn describe(case: &Case, expected: &Seen, server: &str, seen: &Seen) -> String {
    format!("{case}, a {}\n  tokio: {expected}\n  {server}: {seen}", case.status())
}

impl Running {
    fn connect(&self) -> Client {
        Client::connect(&self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop();
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

fn on_tokio(app: Router) -> Running {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            let stopped = async { stopped.await.unwrap_or_default() };
            axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap();
        });
    });
    Running { address, stop: Some(Box::new(|| drop(stop))), thread: Some(thread) }
}

fn on_brigade(app: Router) -> Running {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::bind("127.0.0.1:0").unwrap().loops(2).pin(false);
    let server = server.limits(Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() });
    let address = server.local_addr().unwrap().to_string();
    let app = app.layer(middleware::from_fn(connect_info));
    let thread = thread::spawn(move || {
        brigade::run(async move {
            let router = move || brigade::http::Router::new().fallback_service(app.clone());
            server.serve(router, async { stopped.await.unwrap_or_default() }).await.unwrap();
        });
    });
    Running { address, stop: Some(Box::new(|| drop(stop))), thread: Some(thread) }
}

/// Gives axum's extractor the address of the client, as `into_make_service_with_connect_info` does.
async fn connect_info(mut request: Request, next: Next) -> axum::response::Response {
    if let Some(&Peer(address)) = request.extensions().get() {
        request.extensions_mut().insert(ConnectInfo(address));
    }
    next.run(request).await
}
