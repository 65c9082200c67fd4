//! Whole connections, including pipelined requests: the events do not depend on how the bytes are
//! cut.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((cut, input)) = brigade_fuzz::take_cut(data) {
        brigade_fuzz::check(input, cut);
    }
});
