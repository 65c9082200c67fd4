//! Follows the frames of one direction of a connection, without their content, and counts those
//! that ask for nothing. No socket and no clock: bytes and instants come in.
//!
//! h2 answers floods of CONTINUATION, DATA and resets itself. It slows down a peer that floods it
//! with SETTINGS or PING, but goes on answering them, and it shows none of them to a server or a
//! client.

use std::time::{Duration, Instant};

use crate::transport::http2::preface::PREFACE;

/// The size of the head of a frame (RFC 9113 section 4.1).
const HEAD_BYTES: usize = 9;

/// The frames of RFC 9113 section 6 that are looked at.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// The length of the payload.
    pub(crate) length: u32,
}

impl Frame {
    fn parse(head: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Self { kind, flags, stream, length: u32::from_be_bytes([0, a, b, c]) }
    }

    /// Returns `true` if the frame is the last one of its sender on its stream.
    pub(crate) const fn is_end_stream(self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Finds the frames in the bytes of one direction.
#[derive(Debug)]
pub(crate) struct FrameReader {
    /// How much of the client's preface has not come.
    preface_left: usize,
    head: [u8; HEAD_BYTES],
    /// How much of `head` has come. Zero within a payload and between frames.
    head_bytes: usize,
    /// How much of the current frame's payload has not come.
    payload_left: usize,
    /// The current frame, or the last one.
    kind: u8,
    /// A header block has begun whose last frame has not.
    is_block_open: bool,
}

impl FrameReader {
    /// Returns a reader of what a client sends.
    pub(crate) const fn of_client() -> Self {
        Self { preface_left: PREFACE.len(), ..Self::of_server() }
    }

    /// Returns a reader of what a server sends.
    pub(crate) const fn of_server() -> Self {
        let head = [0; HEAD_BYTES];
        Self {
            preface_left: 0,
            head,
            head_bytes: 0,
            payload_left: 0,
            kind: 0,
            is_block_open: false,
        }
    }

    /// Goes through `bytes`, and calls `note` for each frame whose head is complete.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut note: impl FnMut(Frame)) {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD_BYTES - self.head_bytes).min(bytes.len());
            self.head[self.head_bytes..][..taken].copy_from_slice(&bytes[..taken]);
            self.head_bytes += taken;
            bytes = &bytes[taken..];
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                let frame = Frame::parse(&self.head);
                self.begin(frame);
                note(frame);
            }
        }
    }

    fn begin(&mut self, frame: Frame) {
        self.kind = frame.kind;
        self.payload_left = frame.length as usize;
        if matches!(frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            self.is_block_open = frame.flags & END_HEADERS == 0;
        }
    }

    /// Returns `true` between two frames.
    pub(crate) const fn is_between_frames(&self) -> bool {
        self.preface_left == 0 && self.head_bytes == 0 && self.payload_left == 0
    }

    /// Returns `true` within a header block or the head of a frame: nothing else of the connection
    /// can be received before the rest.
    pub(crate) const fn is_within_headers(&self) -> bool {
        let is_headers = matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION);
        self.head_bytes > 0 || self.is_block_open || (is_headers && self.payload_left > 0)
    }
}

/// How often a control frame is for free: a client that paces them costs little.
const FREE_EVERY: Duration = Duration::from_millis(10);
/// How many a response earns, or a request: a client that is served may ping, and cancel other
/// requests, and a server that is asked may ping, and send informational responses.
pub(crate) const EARNED_BY_MESSAGE: u32 = 8;
/// How many a frame of data earns, which its receiver answers by opening two windows.
const EARNED_BY_DATA: u32 = 2;

/// Whose control frames are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// The control frames of a peer, less those that are for free. What is earned is not saved up.
#[derive(Debug)]
pub(crate) struct ControlFrames {
    sender: Sender,
    count: u32,
    /// Up to when those that are for free were taken off.
    since: Instant,
}

impl ControlFrames {
    pub(crate) const fn new(sender: Sender, now: Instant) -> Self {
        Self { sender, count: 0, since: now }
    }

    /// Counts a frame of the peer that asks for nothing. The head of a response counts as well,
    /// unless it is its end: there may be any number of informational ones.
    pub(crate) fn note_received(&mut self, frame: Frame) {
        let is_message = match frame.kind {
            HEADERS => self.sender == Sender::Client || frame.is_end_stream(),
            DATA => frame.length > 0 || frame.is_end_stream(),
            _ => false,
        };
        if !is_message {
            self.count = self.count.saturating_add(1);
        }
    }

    /// Takes off what a frame to the peer earns.
    pub(crate) fn note_sent(&mut self, frame: Frame) {
        let is_response = self.sender == Sender::Client && frame.is_end_stream();
        let of_message = if is_response { EARNED_BY_MESSAGE } else { 0 };
        let of_data = if frame.kind == DATA && frame.length > 0 { EARNED_BY_DATA } else { 0 };
        self.count = self.count.saturating_sub(of_message + of_data);
    }

    /// Takes off what a request to the peer earns. Only at its end: until then there may be nothing
    /// to take off, and the limit is higher by as much.
    pub(crate) fn note_request_ended(&mut self) {
        self.count = self.count.saturating_sub(EARNED_BY_MESSAGE);
    }

    /// Takes off those that are for free, and returns `true` if there were too many up to `now`.
    pub(crate) fn exceed(&mut self, frames_max: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_nanos();
        let free = (passed / FREE_EVERY.as_nanos()).try_into().unwrap_or(u32::MAX);
        match self.count.checked_sub(free) {
            Some(count) => {
                self.count = count;
                self.since += FREE_EVERY * free;
            }
            None => {
                self.count = 0;
                self.since = now;
            }
        }
        self.count > frames_max
    }
}

/// Returns a `GOAWAY` (RFC 9113 section 6.8): streams after `last_stream` were not looked at.
pub(crate) fn go_away(last_stream: u32, code: u32) -> Vec<u8> {
    const KIND: u8 = 7;
    let mut frame = vec![0, 0, 8, KIND, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last_stream.to_be_bytes());
    frame.extend_from_slice(&code.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, stream: u32, length: u32) -> Frame {
        Frame { kind, flags, stream, length }
    }

    fn bytes(frame: Frame) -> Vec<u8> {
        let mut bytes = frame.length.to_be_bytes()[1..].to_vec();
        bytes.extend([frame.kind, frame.flags]);
        bytes.extend(frame.stream.to_be_bytes());
        bytes.resize(HEAD_BYTES + frame.length as usize, 0xff);
        bytes
    }

    #[test]
    fn frames_are_found_however_their_bytes_are_cut() {
        let sent = [
            frame(SETTINGS, 0, 0, 18),
            frame(HEADERS, END_HEADERS, 1, 3),
            frame(DATA, 0, 1, 300),
            frame(DATA, END_STREAM, 1, 0),
            frame(PING, 0, 0, 8),
        ];
        let all = [PREFACE.to_vec(), sent.map(bytes).concat()].concat();
        for piece in 1..all.len() {
            let (mut reader, mut found) = (FrameReader::of_client(), Vec::new());
            for part in all.chunks(piece) {
                reader.read(part, |frame| found.push(frame));
            }
            assert_eq!(found, sent, "{piece}");
            assert!(reader.is_between_frames());
        }
    }

    #[test]
    fn the_reserved_bit_of_a_stream_is_ignored() {
        let (mut reader, mut found) = (FrameReader::of_server(), Vec::new());
        reader.read(&bytes(frame(HEADERS, 0, 5 | 1 << 31, 2)), |frame| found.push(frame.stream));
        assert_eq!(found, [5]);
    }

    #[test]
    fn a_header_block_ends_with_the_payload_of_its_last_frame() {
        let mut reader = FrameReader::of_server();
        let blocks = [
            bytes(frame(HEADERS, 0, 1, 2)),
            bytes(frame(CONTINUATION, 0, 1, 0)),
            bytes(frame(CONTINUATION, END_HEADERS, 1, 1)),
        ];
        for byte in blocks.concat() {
            assert!(!reader.is_within_headers() || !reader.is_between_frames() || byte == 0);
            reader.read(&[byte], |_| {});
            let is_last = reader.is_between_frames() && !reader.is_block_open;
            assert_eq!(reader.is_within_headers(), !is_last);
        }
        assert!(!reader.is_within_headers());
        // The payload of another frame is not waited for.
        reader.read(&bytes(frame(DATA, 0, 1, 5))[..12], |_| {});
        assert!(!reader.is_within_headers() && !reader.is_between_frames());
    }

    #[test]
    fn control_frames_are_too_many_unless_time_or_responses_explain_them() {
        let began = Instant::now();
        let ping = frame(PING, 0, 0, 8);
        let mut frames = ControlFrames::new(Sender::Client, began);
        (0..1000).for_each(|_| frames.note_received(ping));
        assert!(!frames.exceed(1000, began));
        frames.note_received(frame(DATA, 0, 1, 0));
        assert!(frames.exceed(1000, began));
        assert!(!frames.exceed(1000, began + Duration::from_millis(10)));
        (0..100).for_each(|_| frames.note_received(ping));
        assert!(frames.exceed(1000, began + Duration::from_millis(20)));
        (0..20).for_each(|_| frames.note_sent(frame(HEADERS, END_STREAM, 1, 9)));
        assert!(!frames.exceed(1000, began + Duration::from_millis(20)));
    }

    #[test]
    fn each_frame_of_data_that_was_sent_earns_two_control_frames() {
        let now = Instant::now();
        let mut frames = ControlFrames::new(Sender::Client, now);
        (0..12).for_each(|_| frames.note_received(frame(PING, 0, 0, 8)));
        frames.note_sent(frame(DATA, 0, 1, 0));
        assert!(frames.exceed(11, now));
        frames.note_sent(frame(DATA, 0, 1, 1));
        assert!(!frames.exceed(10, now) && frames.exceed(9, now));
    }

    #[test]
    fn time_between_two_free_control_frames_is_not_lost() {
        let began = Instant::now();
        let mut frames = ControlFrames::new(Sender::Client, began);
        (0..2).for_each(|_| frames.note_received(frame(PING, 0, 0, 8)));
        assert!(frames.exceed(0, began + Duration::from_millis(15)));
        assert!(!frames.exceed(0, began + Duration::from_millis(20)));
    }

    #[test]
    fn requests_and_data_are_no_control_frames() {
        let now = Instant::now();
        let mut frames = ControlFrames::new(Sender::Client, now);
        for frame in
            [frame(HEADERS, END_HEADERS, 1, 9), frame(DATA, 0, 1, 1), frame(DATA, END_STREAM, 1, 0)]
        {
            frames.note_received(frame);
        }
        assert!(!frames.exceed(0, now));
    }

    #[test]
    fn requests_earn_what_a_server_sends_before_the_end_of_its_responses() {
        let now = Instant::now();
        let mut frames = ControlFrames::new(Sender::Server, now);
        let head = frame(HEADERS, END_HEADERS, 1, 9);
        frames.note_received(frame(HEADERS, END_HEADERS | END_STREAM, 1, 9));
        assert!(!frames.exceed(0, now));
        frames.note_received(head);
        assert!(frames.exceed(0, now));
        (0..EARNED_BY_MESSAGE).for_each(|_| frames.note_received(head));
        frames.note_sent(head);
        assert!(frames.exceed(EARNED_BY_MESSAGE, now));
        frames.note_request_ended();
        assert!(!frames.exceed(1, now) && frames.exceed(0, now));
    }

    #[test]
    fn go_away_has_the_last_stream_and_the_code() {
        let bytes = go_away(0x1234, 0xb);
        assert_eq!(bytes, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 0xb]);
    }
}
