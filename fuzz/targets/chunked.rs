//! Chunked bodies: the events do not depend on how the bytes are cut.
#![no_main]
#![forbid(unsafe_code)]

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((cut, body)) = brigade_fuzz::take_cut(data) {
        brigade_fuzz::check(&[HEAD, body].concat(), HEAD.len() + cut);
    }
});
