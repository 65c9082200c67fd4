//! The headers that determine how a message is read.

// crates
use http::Version;

// ours
use crate::protocol::framing::LengthFields;
use crate::protocol::syntax::list_members;

/// What the lines of a head say about its framing, its host and its connection.
#[derive(Default)]
pub(crate) struct KnownFields<'a> {
    pub(crate) length: LengthFields<'a>,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) host_repeated: bool,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
    pub(crate) expects_continue: bool,
    pub(crate) expects_other: bool,
}

impl<'a> KnownFields<'a> {
    /// Records a header line.
    pub(crate) fn record(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            // Nearly all clients write it like this, which one comparison finds.
            4 if name == b"Host" || is(b"host") => {
                self.host_repeated |= self.host.replace(value).is_some();
            }
            6 if is(b"expect") => self.record_expectations(value),
            7 if is(b"upgrade") => self.upgrade = true,
            10 if is(b"connection") => self.record_connection(value),
            14 if is(b"content-length") => self.length.record_content_length(value),
            17 if is(b"transfer-encoding") => self.length.record_transfer_encoding(value),
            _ => {}
        }
    }

    /// Empty members of the list mean nothing (RFC 9110 section 5.6.1.2).
    #[cold]
    #[inline(never)]
    fn record_expectations(&mut self, value: &[u8]) {
        for expectation in list_members(value).filter(|member| !member.is_empty()) {
            let is_continue = expectation.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= is_continue;
            self.expects_other |= !is_continue;
        }
    }

    /// Not inlined, so that [`record`](Self::record) needs fewer registers.
    #[inline(never)]
    fn record_connection(&mut self, value: &[u8]) {
        // The usual value, from browsers.
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for option in list_members(value) {
            let is = |known: &[u8]| option.eq_ignore_ascii_case(known);
            match option.len() {
                5 => self.close |= is(b"close"),
                7 => self.connection_upgrade |= is(b"upgrade"),
                10 => self.keep_alive |= is(b"keep-alive"),
                _ => {}
            }
        }
    }

    /// Returns `true` if the sender keeps the connection open (RFC 9112 section 9.3).
    pub(crate) fn keeps_connection(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    /// Returns `true` if the sender offers an upgrade (RFC 9110 section 7.8).
    pub(crate) fn wants_upgrade(&self) -> bool {
        self.upgrade && self.connection_upgrade
    }
}
