//! A request, and what a server responds to it.

use std::fmt;

use crate::common::client::{Client, Response};

/// How much of a body is printed when a test fails.
const SHOWN_BYTES_MAX: usize = 200;

/// A request, and the status that it should get.
pub(crate) struct Case {
    line: String,
    headers: String,
    body: Vec<u8>,
    status: u16,
}

/// A response without its date and without where its chunks begin.
#[derive(PartialEq)]
pub(crate) struct Seen(Response);

/// Returns a request without a body, such as `GET /`, that should get a 200.
pub(crate) fn case(line: &str) -> Case {
    let (headers, body) = (String::new(), Vec::new());
    Case { line: line.to_owned(), headers, body, status: 200 }
}

impl Case {
    /// Adds a header line, such as `Accept: */*`.
    pub(crate) fn with(mut self, header: &str) -> Self {
        self.headers += header;
        self.headers += "\r\n";
        self
    }

    /// Sets a body with a `Content-Length`.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len();
        self.with(&format!("Content-Length: {length}"))
    }

    /// Sets a body that is sent in chunks of `bytes` each.
    pub(crate) fn chunks(mut self, bytes: usize, body: &str) -> Self {
        for chunk in body.as_bytes().chunks(bytes) {
            self.body.extend(format!("{:x}\r\n", chunk.len()).bytes());
            self.body.extend(chunk);
            self.body.extend(b"\r\n");
        }
        self.body.extend(b"0\r\n\r\n");
        self.with("Transfer-Encoding: chunked")
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.with("Content-Type: application/json").body(body)
    }

    pub(crate) fn form(self, body: &str) -> Self {
        self.with("Content-Type: application/x-www-form-urlencoded").body(body)
    }

    /// Sets the status of the response.
    pub(crate) fn is(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Sends the request, and reads the response. Skips a `100 Continue`.
    pub(crate) fn run(&self, client: &mut Client) -> Seen {
        let head = format!("{} HTTP/1.1\r\nHost: test.example\r\n{}\r\n", self.line, self.headers);
        client.send_raw(&[head.as_bytes(), &self.body].concat());
        let read = |client: &mut Client| {
            let has_no_body = self.line.starts_with("HEAD ") || self.status == 304;
            if has_no_body { client.read_head() } else { client.read() }
        };
        let mut response = read(client);
        if response.status == 100 {
            response = read(client);
        }
        response.headers.retain(|(name, _)| name != "date");
        response.headers.sort();
        response.chunks.clear();
        Seen(response)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.line, self.headers)
    }
}

impl Seen {
    pub(crate) fn status(&self) -> u16 {
        self.0.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0.header(name)
    }

    /// Returns `true` if the server closes the connection after this response.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Response { status, headers, body, trailers, .. } = &self.0;
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
        write!(f, "{status} {headers:?} {} bytes {shown:?} {trailers:?}", body.len())
    }
}
