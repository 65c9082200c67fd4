//! async-tungstenite: WebSockets over our streams.
#![forbid(unsafe_code)]

use async_tungstenite::tungstenite::Message;
use async_tungstenite::{accept_async, client_async};
use brigade::net::{TcpListener, TcpStream};
use futures_util::StreamExt;

#[test]
fn web_sockets_are_spoken_over_our_streams() {
    brigade::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let address = listener.local_addr().unwrap();
        let echo = brigade::spawn(async move {
            let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
        echo.await.unwrap();
    });
}
