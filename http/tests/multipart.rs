//! Multipart forms, parsed by `multer` while they arrive.
#![forbid(unsafe_code)]
#![cfg(feature = "send-body")]

mod sockets;

use brigade_http::{BodyError, BoxError, HandlerError, Limits, Request, Router, StatusCode, post};
use sockets::TestServer;

const BOUNDARY: &str = "cut-here";

/// Returns the name and the length of each field.
async fn lengths(request: Request) -> Result<String, HandlerError> {
    let mut fields = multer::Multipart::new(request.into_body().into_send(), BOUNDARY);
    let mut lengths = String::new();
    while let Some(mut field) = fields.next_field().await.map_err(failed)? {
        let mut length = 0;
        while let Some(part) = field.chunk().await.map_err(failed)? {
            length += part.len();
        }
        lengths += &format!("{}={length} ", field.name().unwrap());
    }
    Ok(lengths)
}

fn failed(error: multer::Error) -> HandlerError {
    match error {
        multer::Error::StreamReadFailed(_) => BodyError::from(BoxError::from(error)).into(),
        error => HandlerError::new(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

fn field(name: &str, length: usize) -> String {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    head + &"x".repeat(length) + "\r\n"
}

/// Sends a form in parts of a few bytes. Returns the status and the text of the response.
fn upload(server: &TestServer, form: &str) -> (u16, String) {
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for part in form.as_bytes().chunks(700) {
        client.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    let response = client.response();
    (response.status, response.text().to_owned())
}

#[test]
fn the_fields_of_a_form_are_read_while_they_arrive() {
    let server = TestServer::start(|| Router::new().route("/", post(lengths)));
    let form = format!("{}{}--{BOUNDARY}--\r\n", field("a", 5000), field("b", 3));
    assert_eq!(upload(&server, &form), (200, "a=5000 b=3 ".to_owned()));
    let (status, text) = upload(&server, &field("a", 10));
    assert_eq!(status, 400, "{text}");
}

#[test]
fn a_form_that_is_too_large_is_a_413_although_the_parser_wraps_the_error() {
    let limits = Limits { body_bytes_max: 2000, ..Limits::default() };
    let server = TestServer::start_with(
        |server| server.loops(1).pin(false).limits(limits),
        || Router::new().route("/", post(lengths)),
    );
    // One part more than the limit allows, so that all of it is read.
    let (status, text) = upload(&server, &field("a", 1950));
    assert_eq!(
        (status, &*text),
        (413, "413 Payload Too Large: cannot read the body: the body is too large\n")
    );
}
