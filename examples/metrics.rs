//! A server that exports its statistics to Prometheus. The program sends it five requests, then
//! reads the statistics.
//!
//! ```text
//! cargo run --features metrics --example metrics
//! ```
//!
//! prints
//!
//! ```text
//! /hello: 200 OK
//! /hello: 200 OK
//! /hello: 200 OK
//! /nowhere: 404 Not Found
//! /broken: 500 Internal Server Error
//! /metrics: 200 OK
//! brigade_requests_in_flight{loop="0"} 1
//! brigade_requests_total{loop="0",class="1xx"} 0
//! brigade_requests_total{loop="0",class="2xx"} 3
//! brigade_requests_total{loop="0",class="3xx"} 0
//! brigade_requests_total{loop="0",class="4xx"} 1
//! brigade_requests_total{loop="0",class="5xx"} 1
//! ```
//!
//! The request in flight is the one to `/metrics`. With `--all` it prints the whole response.

use std::error::Error;

use brigade::http::{Client, Router, Server, StatusCode, get, metrics};
use brigade::oneshot::sync_channel;
use brigade::{run, run_in_thread};

fn app() -> Router {
    Router::new()
        .route("/hello", get(async || "Hello, World!"))
        .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/metrics", get(metrics))
}

async fn fetch(client: &Client, root: &str, path: &str) -> Result<String, Box<dyn Error>> {
    let mut response = client.get(format!("{root}{path}")).send().await?;
    println!("{path}: {}", response.status());
    Ok(response.text().await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let all = std::env::args().any(|argument| argument == "--all");
    let server = Server::bind("127.0.0.1:0")?.loops(1);
    let root = format!("http://{}", server.local_addr()?);
    let (stop, stopped) = sync_channel::<()>();
    let thread = run_in_thread("server", move || async move {
        server
            .serve(app, async {
                let _ = stopped.await;
            })
            .await
    })?;
    let text = run(async move {
        let client = Client::new();
        for path in ["/hello", "/hello", "/hello", "/nowhere", "/broken"] {
            fetch(&client, &root, path).await?;
        }
        fetch(&client, &root, "/metrics").await
    })?;
    let lines = text.lines().filter(|line| all || line.starts_with("brigade_requests_"));
    let lines = lines.filter(|line| all || !line.contains("unanswered"));
    lines.for_each(|line| println!("{line}"));
    drop(stop);
    thread.join()??;
    Ok(())
}
