//! The example `axum` as a process: what its documentation says, and its own timers and addresses.
#![forbid(unsafe_code)]

#[path = "../../../tests/common/mod.rs"]
mod common;

use common::client::Client;
use common::server::{Server, example};
use serde_json::json;

#[test]
fn todos_are_kept_for_the_connections_of_all_loops() {
    let mut command = example("axum");
    command.args(["--listen", "127.0.0.1:0"]);
    let server = Server::start(command);
    let connect = || Client::connect(&server.address);

    let created = connect().post("/todos", "application/json", br#"{"title":"tea"}"#);
    assert_eq!((created.status, created.header("location")), (201, Some("/todos/1")));
    // Connections are spread over both loops.
    for _ in 0..4 {
        let todos = connect().request("GET /todos?done=false").json();
        assert_eq!(todos, json!({ "1": { "title": "tea", "done": false } }));
    }
    let mut client = connect();
    client.send(
        "PUT /todos/1",
        "Content-Type: application/json\r\n",
        br#"{"title":"tea","done":true}"#,
    );
    assert_eq!(client.read().status, 204);
    assert_eq!(client.request("GET /todos?done=false").text(), "{}");
    client.send("DELETE /todos/1", "", b"");
    assert_eq!(client.read().status, 204);
    assert_eq!(client.request("GET /todos/1").status, 404);
    assert_eq!(client.request("GET /delay/1").text(), "waited 1 ms\n");
    assert_eq!(client.request("GET /who").text(), "127.0.0.1 with no name\n");
    assert_eq!(client.request("GET /admin/health").text(), "well\n");
    assert_eq!(client.request("GET /nowhere").text(), "no such page\n");
    drop(client);
    server.stop();
}
