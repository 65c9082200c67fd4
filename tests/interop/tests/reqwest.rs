//! reqwest, which needs tokio's reactor, beside our loop: by async-compat.
#![forbid(unsafe_code)]

use std::time::Duration;

use async_compat::Compat;
use brigade::http::{Router, Server, post};
use brigade::spawn;

#[test]
fn reqwest_runs_beside_a_loop() {
    brigade::run(async {
        let server = Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false);
        let url = format!("http://{}/length", server.local_addr().unwrap());
        let (stop, stopped) = brigade::oneshot::channel::<()>();
        let length = async |body: String| body.len().to_string();
        let app = move || Router::new().route("/length", post(length));
        let serving = spawn(server.serve(app, async move { stopped.await.unwrap_or_default() }));
        let client = Compat::new(async { reqwest::Client::new() }).await;
        let texts = (0..20).map(|size| {
            let (client, url) = (client.clone(), url.clone());
            spawn(Compat::new(async move {
                let request = client.post(url).body("x".repeat(size));
                let response = request.timeout(Duration::from_secs(20)).send().await?;
                response.error_for_status()?.text().await
            }))
        });
        for (size, text) in texts.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(text.await.unwrap().unwrap(), size.to_string());
        }
        drop(client);
        drop(stop);
        serving.await.unwrap().unwrap();
    });
}
