//! Connections by HTTP/2 over TLS that have had one response each.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::SocketFlags;

use super::sources;
use super::tls::{Resume, TlsClient};
use super::wire::Wire;

/// How long a response may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a client sends first (RFC 9113 section 3.4), with SETTINGS that change nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The acknowledgement of the server's SETTINGS.
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";
/// `GET`, `https` and `/` of HPACK's static table, and the authority as a literal of 9 bytes.
const REQUEST: &[u8] = b"\x82\x87\x84\x01\x09127.0.0.1";
/// `:status 200` of the static table.
const STATUS_200: u8 = 0x88;
/// The size of the head of a frame, in bytes.
const FRAME_HEAD: usize = 9;
/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
/// Flags of frames. `ACK` and `END_STREAM` are the same bit.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Idle connections, which close when this is dropped.
pub struct Http2Idle {
    _connections: Vec<Wire>,
}

impl Http2Idle {
    /// Opens the connections, one after the other, each with one request for `/`.
    ///
    /// # Errors
    /// If one of them is refused or lost, or a response is late or not a 200.
    pub fn open(server: SocketAddr, connections: usize) -> io::Result<Self> {
        let client = TlsClient::new("h2", Resume::Never)?;
        let open = |number| open(server, number, &client);
        Ok(Self { _connections: (0..connections).map(open).collect::<io::Result<_>>()? })
    }
}

fn open(server: SocketAddr, number: usize, client: &TlsClient) -> io::Result<Wire> {
    let socket = sources::connect(server, number, SocketFlags::empty())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    let mut wire = Wire::new(socket, Some(client))?;
    let head = [0, 0, REQUEST.len() as u8, HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 1];
    wire.write_all(&[PREFACE, &head, REQUEST].concat())?;
    let mut is_ok = false;
    loop {
        let mut head = [0; FRAME_HEAD];
        wire.read_exact(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        wire.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & END_STREAM == 0 => wire.write_all(SETTINGS_ACK)?,
            HEADERS => is_ok = status(&payload) == Some(STATUS_200),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return match is_ok {
                true => Ok(wire),
                false => Err(io::Error::other("the response by HTTP/2 was not a 200")),
            };
        }
    }
}

/// Returns the first field of a response's head, which follows changes of the size of HPACK's
/// table.
fn status(head: &[u8]) -> Option<u8> {
    head.iter().copied().find(|first| first & 0xe0 != 0x20)
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn the_status_follows_a_change_of_the_table() {
        assert_eq!(status(b"\x20\x88"), Some(0x88));
        assert_eq!(status(b"\x88\x20"), Some(0x88));
        assert_eq!(status(b""), None);
    }
}
