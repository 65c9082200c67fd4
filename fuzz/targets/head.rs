//! Heads: the events do not depend on how the bytes are cut.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((cut, lines)) = brigade_fuzz::take_cut(data) {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat();
        brigade_fuzz::check(&head, cut + 25);
    }
});
