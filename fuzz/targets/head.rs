//! Heads: what is made of one does not depend on how it is cut, nor on what surrounds it.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((cut, lines)) = brigade_fuzz::take_cut(data) {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat();
        brigade_fuzz::check(&head, cut + 25);
    }
});
