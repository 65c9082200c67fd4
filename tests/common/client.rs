//! A client that shows what went over the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer that has not come by then never will.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Of a body in chunks: how long each is.
    pub(crate) chunks: Vec<usize>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), address: address.to_owned() }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a request with these header lines, each of which ends in CR LF, and a body if there
    /// is one.
    pub(crate) fn send(&mut self, request_line: &str, headers: &str, body: &[u8]) {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let host = &self.address;
        let head = format!("{request_line} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n");
        self.send_raw(&[head.as_bytes(), body].concat());
    }

    /// Reads the head of an answer, as far as its blank line.
    pub(crate) fn read_head(&mut self) -> Answer {
        let line = self.read_line();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let status = status.parse().unwrap();
        Answer { status, headers: self.read_fields(), ..Answer::default() }
    }

    /// Reads the answer to a request that was no `HEAD`.
    pub(crate) fn read(&mut self) -> Answer {
        let mut answer = self.read_head();
        if answer.header("transfer-encoding").is_some() {
            loop {
                let size = usize::from_str_radix(&self.read_line(), 16).unwrap();
                if size == 0 {
                    break;
                }
                answer.body.extend(self.read_bytes(size));
                answer.chunks.push(size);
                assert_eq!(self.read_line(), "");
            }
            answer.trailers = self.read_fields();
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.read_bytes(length.parse().unwrap());
        }
        answer
    }

    pub(crate) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request_line: &str) -> Answer {
        self.send(request_line, "", b"");
        self.read()
    }

    /// [`Client::ask`] with a body of this type.
    pub(crate) fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Answer {
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
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("cut off: {line:?}")).to_owned()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The reason that an error gives for itself; checks the rest of the document.
    pub(crate) fn detail(&self) -> String {
        let document = self.json();
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(document["status_code"], self.status);
        assert!(self.text().starts_with("{\n  \"status_code\": "), "{}", self.text());
        document["detail"].as_str().unwrap().to_owned()
    }
}
