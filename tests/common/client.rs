//! An HTTP client that shows how a response was framed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::PATIENCE;

/// A connection to a server.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

/// A response as it was received.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The length of each chunk of a chunked body.
    pub(crate) chunks: Vec<usize>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), address: address.to_owned() }
    }

    /// Sends `bytes` unchanged.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a request. Each line of `headers` ends in CR LF. A `Content-Length` is added unless
    /// `body` is empty.
    pub(crate) fn send(&mut self, request_line: &str, headers: &str, body: &[u8]) {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let host = &self.address;
        let head = format!("{request_line} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n");
        self.send_raw(&[head.as_bytes(), body].concat());
    }

    /// Reads the head of a response, up to and including the blank line.
    pub(crate) fn read_head(&mut self) -> Response {
        let line = self.read_line();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let status = status.parse().unwrap();
        Response { status, headers: self.read_fields(), ..Response::default() }
    }

    /// Reads a response with its body. Not for responses to `HEAD`.
    pub(crate) fn read(&mut self) -> Response {
        let mut response = self.read_head();
        if response.header("transfer-encoding").is_some() {
            loop {
                let size = usize::from_str_radix(&self.read_line(), 16).unwrap();
                if size == 0 {
                    break;
                }
                response.body.extend(self.read_bytes(size));
                response.chunks.push(size);
                assert_eq!(self.read_line(), "");
            }
            response.trailers = self.read_fields();
        } else if let Some(length) = response.header("content-length") {
            response.body = self.read_bytes(length.parse().unwrap());
        }
        response
    }

    pub(crate) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Returns all that arrives until the server closes the connection, also by a reset.
    pub(crate) fn read_rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        rest
    }

    /// Sends a request and reads its response.
    pub(crate) fn request(&mut self, request_line: &str) -> Response {
        self.send(request_line, "", b"");
        self.read()
    }

    /// Posts a body of the given type, and reads the response.
    pub(crate) fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Response {
        self.send(&format!("POST {path}"), &format!("Content-Type: {content_type}\r\n"), body);
        self.read()
    }

    fn read_fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.read_line();
            let Some((name, value)) = line.split_once(": ") else { break };
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        fields
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("incomplete line: {line:?}")).to_owned()
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the `detail` of an error response, and checks the rest of the document.
    pub(crate) fn detail(&self) -> String {
        let document = self.json();
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(document["status_code"], self.status);
        assert!(self.text().starts_with("{\n  \"status_code\": "), "{}", self.text());
        document["detail"].as_str().unwrap().to_owned()
    }
}
