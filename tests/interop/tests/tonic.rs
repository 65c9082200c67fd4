//! tonic: a gRPC server and client on our loop, over hyper's HTTP/2.
#![forbid(unsafe_code)]

use std::time::Duration;

use brigade::bridge::{HyperExecutor, HyperIo, HyperTimer};
use brigade::net::{TcpListener, TcpStream};
use brigade::spawn;
use brigade::time::timeout;
use hyper::client::conn::http2;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Answer;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt;

#[test]
fn a_grpc_client_asks_a_grpc_server() {
    brigade::run(async {
        let (reporter, health) = tonic_health::server::health_reporter();
        let routes = Routes::new(health).prepare();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let routes = routes.clone();
                let service =
                    hyper::service::service_fn(move |request| routes.clone().oneshot(request));
                let connection = hyper::server::conn::http2::Builder::new(HyperExecutor)
                    .timer(HyperTimer)
                    .serve_connection(HyperIo::new(stream), service);
                spawn(async move { drop(connection.await) }).detach();
            }
        })
        .detach();

        let stream = HyperIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = http2::handshake(HyperExecutor, stream).await.unwrap();
        spawn(async move { drop(connection.await) }).detach();
        let channel = tower::service_fn(move |mut request: http::Request<tonic::body::Body>| {
            let mut sender = sender.clone();
            // A request of HTTP/2 has its host in the target.
            let path = request.uri().path().to_owned();
            *request.uri_mut() = format!("http://{address}{path}").parse().unwrap();
            async move { sender.send_request(request).await }
        });
        let mut client = HealthClient::new(channel);
        let service = || HealthCheckRequest { service: "orders".to_owned() };

        let unknown = client.check(service()).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);
        reporter.set_service_status("orders", ServingStatus::Serving).await;
        let answer = client.check(service()).await.unwrap().into_inner();
        assert_eq!(answer.status(), Answer::Serving);

        // Streamed by the server until the client leaves.
        let mut watched = client.watch(service()).await.unwrap().into_inner();
        assert_eq!(watched.message().await.unwrap().unwrap().status(), Answer::Serving);
        reporter.set_service_status("orders", ServingStatus::NotServing).await;
        assert_eq!(watched.message().await.unwrap().unwrap().status(), Answer::NotServing);

        // A deadline of the client. The stream has nothing more to say.
        let late = timeout(Duration::from_millis(20), watched.message()).await;
        assert!(late.is_err());
    });
}
