//! Sends three requests at once, which take 1, 2 and 3 seconds, and repeats that: the second round
//! reuses the connections of the first. With `--fast`, each second is replaced by 50 ms.
//!
//! ```text
//! cargo run --example fetch_delays
//! ```
//!
//! prints
//!
//! ```text
//! /delay/1: 200 OK after 1.00 s, waited for 1
//! /delay/2: 200 OK after 2.00 s, waited for 2
//! /delay/3: 200 OK after 3.00 s, waited for 3
//! all after 3.00 s, 3 connections opened
//! /delay/1: 200 OK after 1.00 s, waited for 1
//! /delay/2: 200 OK after 2.00 s, waited for 2
//! /delay/3: 200 OK after 3.00 s, waited for 3
//! all after 3.00 s, 3 connections opened
//! ```

use std::error::Error;
use std::time::Duration;

use brigade::http::{Client, ClientError, Request, Router, Server, get};
use brigade::oneshot::sync_channel;
use brigade::time::{now, sleep};
use brigade::{run, run_in_thread, try_gather};

fn app(second: Duration) -> Router {
    let delay = move |request: Request| async move {
        let seconds = request.param("seconds").and_then(|text| text.parse().ok()).unwrap_or(0);
        sleep(second * seconds).await;
        format!("waited for {seconds}")
    };
    Router::new().route("/delay/{seconds}", get(delay))
}

async fn fetch(client: &Client, root: &str, path: &str) -> Result<(), ClientError> {
    let began = now();
    let mut response = client.get(format!("{root}{path}")).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    println!("{path}: {status} after {:.2} s, {text}", (now() - began).as_secs_f64());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let is_fast = std::env::args().any(|argument| argument == "--fast");
    let second = Duration::from_millis(if is_fast { 50 } else { 1000 });
    let server = Server::bind("127.0.0.1:0")?.loops(1);
    let root = format!("http://{}", server.local_addr()?);
    let (stop, stopped) = sync_channel::<()>();
    let thread = run_in_thread("delays", move || async move {
        server
            .serve(move || app(second), async {
                let _ = stopped.await;
            })
            .await
    })?;
    run(async move {
        let client = Client::new();
        for _ in 0..2 {
            let began = now();
            let paths = ["/delay/1", "/delay/2", "/delay/3"];
            try_gather(paths.map(|path| fetch(&client, &root, path))).await?;
            let (took, opened) = ((now() - began).as_secs_f64(), client.connections_opened());
            println!("all after {took:.2} s, {opened} connections opened");
        }
        Ok::<_, ClientError>(())
    })?;
    drop(stop);
    thread.join()??;
    Ok(())
}
