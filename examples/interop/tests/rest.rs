//! The example `rest` as a process, with a database of its own.
#![forbid(unsafe_code)]

#[path = "../../../tests/common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::process;

use common::client::{Client, Response};
use common::server::{Server, example};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A server, and the folder of its database, which is removed at the end.
struct Library {
    server: Server,
    folder: PathBuf,
}

impl Library {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("brigade-rest-{name}-{}", process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = example("rest");
        command.arg("127.0.0.1:0").arg(folder.join("books.db"));
        Self { server: Server::start(command), folder }
    }

    fn client(&self) -> Client {
        Client::connect(&self.server.address)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // What is left is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn send(client: &mut Client, request: &str, headers: &str, body: &Value) -> Response {
    let headers = format!("Content-Type: application/json\r\n{headers}");
    client.send(request, &headers, body.to_string().as_bytes());
    client.read()
}

fn create(client: &mut Client, isbn: &str, title: &str) -> Response {
    send(client, "POST /api/books", "", &json!({ "isbn": isbn, "title": title, "year": 1815 }))
}

/// Asserts that this is a response to an error, and returns its detail.
#[track_caller]
fn detail(response: &Response, status: u16) -> String {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.json()["status"], status);
    response.json()["detail"].as_str().unwrap_or_default().to_owned()
}

const ISBN: &str = "9780141439587";

#[test]
fn a_book_is_created_read_replaced_and_removed() {
    let library = Library::start("crud");
    let client = &mut library.client();
    let created = create(client, ISBN, "Emma");
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), Some("/api/books/1"));
    assert_eq!(created.header("etag"), Some("\"1\""));
    let book = json!({ "id": 1, "isbn": ISBN, "title": "Emma", "year": 1815, "version": 1 });
    assert_eq!(created.json(), book);

    let shown = client.request("GET /api/books/1");
    assert_eq!((shown.status, shown.json()), (200, book));
    assert_eq!(shown.header("cache-control"), Some("no-cache"));
    assert!(shown.header("x-request-id").is_some());

    let new = json!({ "isbn": ISBN, "title": "Emma", "year": 1816 });
    let replaced = send(client, "PUT /api/books/1", "", &new);
    assert_eq!((replaced.status, replaced.header("etag")), (200, Some("\"2\"")));
    assert_eq!(client.request("GET /api/books/1").json()["year"], 1816);

    assert_eq!(client.request("DELETE /api/books/1").status, 204);
    detail(&client.request("GET /api/books/1"), 404);
    detail(&client.request("DELETE /api/books/1"), 404);
    detail(&send(client, "PUT /api/books/1", "", &new), 404);
}

#[test]
fn pages_lead_through_all_books() {
    let library = Library::start("pages");
    let client = &mut library.client();
    assert_eq!(client.request("GET /api/books").json(), json!({ "books": [], "next": null }));
    for n in 1..=5 {
        assert_eq!(create(client, &format!("978000000000{n}"), "Emma").status, 201);
    }
    let mut pages = Vec::new();
    let mut next = Some("/api/books?limit=2".to_owned());
    while let Some(path) = next {
        let page = client.request(&format!("GET {path}")).json();
        let books = page["books"].as_array().unwrap();
        pages.push(books.iter().map(|book| book["id"].as_i64().unwrap()).collect::<Vec<_>>());
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
    for (query, count) in [("", 5), ("?limit=5", 5), ("?limit=0", 1), ("?limit=1000000", 5)] {
        let page = client.request(&format!("GET /api/books{query}")).json();
        assert_eq!(page["books"].as_array().unwrap().len(), count, "{query}");
    }
}

#[test]
fn what_is_malformed_is_refused_with_the_name_of_the_field() {
    let library = Library::start("invalid");
    let client = &mut library.client();
    let book = |isbn: &str, title: &str| json!({ "isbn": isbn, "title": title, "year": 1 });
    for (body, expected) in [
        (book("978", "Emma"), "json: isbn: must have 13 digits"),
        (book("978014143958x", "Emma"), "json: isbn: must have 13 digits"),
        (book(ISBN, ""), "json: title: must have 1 to 200 characters"),
        (book(ISBN, &"é".repeat(201)), "json: title: must have 1 to 200 characters"),
        (json!({ "isbn": ISBN, "title": "Emma" }), "json: missing field `year`"),
        (json!({ "isbn": ISBN, "title": "Emma", "year": "old" }), "json: year: invalid type"),
        (json!({ "isbn": ISBN, "pages": 3 }), "json: pages: unknown field `pages`"),
    ] {
        let detail = detail(&send(client, "POST /api/books", "", &body), 422);
        assert!(detail.starts_with(expected), "{detail}");
    }
    assert_eq!(create(client, ISBN, &"é".repeat(200)).status, 201);

    let text = client.post("/api/books", "text/plain", b"Emma");
    assert_eq!(detail(&text, 415), "the Content-Type must be application/json");
    detail(&client.post("/api/books", "application/json", b"{"), 400);
    let page = detail(&client.request("GET /api/books?limit=x"), 400);
    assert_eq!(page, "query: limit: invalid digit found in string");
    detail(&client.request("GET /api/books/x"), 400);
    detail(&client.request("GET /api/shelves"), 404);
    let refused = client.request("PATCH /api/books/1");
    detail(&refused, 405);
    assert_eq!(refused.header("allow"), Some("GET, PUT, DELETE, HEAD, OPTIONS"));
}

#[test]
fn a_second_book_with_the_same_isbn_is_a_conflict() {
    let library = Library::start("conflict");
    let client = &mut library.client();
    assert_eq!(create(client, ISBN, "Emma").status, 201);
    assert_eq!(detail(&create(client, ISBN, "Emma"), 409), "the isbn is taken");
    assert_eq!(create(client, "9780141439518", "Pride and Prejudice").status, 201);
    let taken = json!({ "isbn": ISBN, "title": "Pride and Prejudice", "year": 1813 });
    assert_eq!(detail(&send(client, "PUT /api/books/2", "", &taken), 409), "the isbn is taken");
}

#[test]
fn a_book_that_has_changed_meanwhile_is_not_replaced() {
    let library = Library::start("conditional");
    let client = &mut library.client();
    create(client, ISBN, "Emma");
    let book = |year| json!({ "isbn": ISBN, "title": "Emma", "year": year });
    let mut put = |tag: &str, year: i32| {
        let condition = format!("If-Match: {tag}\r\n");
        send(client, "PUT /api/books/1", &condition, &book(year)).status
    };
    assert_eq!(put("\"1\"", 1), 200);
    assert_eq!(put("\"1\"", 2), 412);
    assert_eq!(put("1", 2), 412);
    assert_eq!(put("\"\u{e9}\"", 2), 412);
    assert_eq!(put("*", 3), 200);
    let shown = client.request("GET /api/books/1");
    assert_eq!((shown.header("etag"), shown.json()["year"].as_i64()), (Some("\"3\""), Some(3)));
    assert_eq!(send(client, "PUT /api/books/9", "If-Match: \"1\"\r\n", &book(1)).status, 404);
}

#[test]
fn a_query_that_waits_for_the_database_does_not_block_the_loop() {
    let library = Library::start("blocked");
    let mut writers = [library.client(), library.client(), library.client(), library.client()];
    let mut other = library.client();
    assert_eq!(other.request("GET /health").status, 200);
    // Another process that writes.
    let database = Connection::open(library.folder.join("books.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    for (n, writer) in writers.iter_mut().enumerate() {
        let body = json!({ "isbn": format!("978000000000{n}"), "title": "Emma", "year": 1 });
        let json = "Content-Type: application/json\r\n";
        writer.send("POST /api/books", json, body.to_string().as_bytes());
    }
    // On a blocked loop, writers would wait for the database until it is reported as busy.
    for _ in 0..20 {
        assert_eq!(other.request("GET /health").text(), "ok\n");
    }
    database.execute_batch("COMMIT").unwrap();
    for writer in &mut writers {
        assert_eq!(writer.read().status, 201);
    }
}

#[test]
fn books_outlive_the_server() {
    let library = Library::start("restart");
    create(&mut library.client(), ISBN, "Emma");
    library.server.signal("TERM");
    let mut command = example("rest");
    command.arg("127.0.0.1:0").arg(library.folder.join("books.db"));
    let server = Server::start(command);
    assert_eq!(
        Client::connect(&server.address).request("GET /api/books/1").json()["title"],
        "Emma"
    );
}
